// Budgets are not only about money. Risk points limit what an agent does: reading costs nothing, an e-mail to a
// customer costs some, a deletion more, and a day's allowance cannot be overdrawn however cheap the tokens are.
import { Console, Context, Effect, Layer } from "effect"
import { Action, Amount, Budget, Ledger } from "effect-cycles"

class Mailer extends Context.Service<Mailer, {
  readonly send: (to: string, body: string) => Effect.Effect<void>
}>()("examples/Mailer") {}

const sent: Array<string> = []
const simulatedMailer = Layer.succeed(Mailer, {
  send: (to) =>
    Effect.sync(() => {
      sent.push(to)
    })
})

const risk = { read_record: 0, send_customer_email: 50, delete_record: 80 }

const risky = <A, E, R>(kind: string, name: keyof typeof risk, act: Effect.Effect<A, E, R>) =>
  Budget.guard(
    { action: Action.make(kind, name), estimate: Amount.riskPoints(risk[name]) },
    (r) => Effect.map(act, (value) => r.commit(r.reserved, value))
  )

const sendEmail = (to: string) =>
  risky(
    "tool.email",
    "send_customer_email",
    Effect.flatMap(Mailer, (mailer) => mailer.send(to, "Your order has shipped."))
  )

const show = <E, R>(title: string, action: Effect.Effect<unknown, E, R>) =>
  action.pipe(
    Effect.as("done"),
    Budget.catchDenied((denied) => Effect.succeed(`not done, ${denied.remaining} of ${denied.requested} points left`)),
    Effect.flatMap((ended) => Console.log(`${title}: ${ended}`))
  )

const program = Effect.gen(function*() {
  yield* show("mail to ann", sendEmail("ann"))
  yield* show("mail to bob", sendEmail("bob"))
  yield* show("mail to cem", sendEmail("cem"))
  yield* show("delete a record", risky("tool.database", "delete_record", Effect.void))
  yield* show("read a record", risky("tool.database", "read_record", Effect.void))
  yield* Console.log(`really sent: ${sent.join(", ")}`)
}).pipe(
  Effect.provide(Layer.provideMerge(
    Layer.merge(Budget.layer({ subject: { agent: "support" } }), simulatedMailer),
    Ledger.layerMemory({
      tenant: "acme",
      budgets: [{ scope: "tenant:acme/agent:support", allocated: Amount.riskPoints(120) }]
    })
  ))
)

await Effect.runPromise(program)
