// A support agent works on case 4782 and takes four actions. What it may do is a budget of risk points per tool set: notes and
// CRM updates have some, e-mail to customers has none. Three actions run, the e-mail is refused, before it is sent.
import { Console, Context, Effect, Layer } from "effect"
import { Action, Amount, Budget, Ledger } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"

class Desk extends Context.Service<Desk, {
  readonly run: (tool: string) => Effect.Effect<void>
}>()("examples/Desk") {}

const ran: Array<string> = []
const simulatedDesk = Layer.succeed(Desk, {
  run: (tool) =>
    Effect.sync(() => {
      ran.push(tool)
    })
})

interface Step {
  readonly tool: string
  readonly kind: string
  readonly toolset: string
  readonly points: number
}

const steps: ReadonlyArray<Step> = [
  { tool: "read_case", kind: "record.read", toolset: "cases", points: 0 },
  { tool: "append_internal_note", kind: "record.write", toolset: "internal-notes", points: 5 },
  { tool: "update_crm_status", kind: "record.write", toolset: "crm-updates", points: 10 },
  { tool: "send_customer_email", kind: "message.email", toolset: "send-email", points: 50 }
]

const act = ({ kind, points, tool, toolset }: Step) =>
  Budget.guard(
    { subject: { toolset }, action: Action.make(kind, tool), estimate: Amount.riskPoints(points) },
    (r) => Effect.map(Effect.flatMap(Desk, (desk) => desk.run(tool)), () => r.commit(r.reserved, "done"))
  ).pipe(
    // `Budget.catchDenied` hears of budgets and policies alike; the two are told apart by their tags.
    Effect.catchTag("BudgetExceeded", ({ remaining, scope }) =>
      Effect.succeed(`refused, ${remaining} points at ${scope}`)),
    Effect.catchTag("ActionDenied", ({ code, reason }) =>
      Effect.succeed(`refused, ${code}: ${reason}`)),
    Effect.flatMap((outcome) => Console.log(`${tool}: ${outcome}`))
  )

const email = steps.slice(3)
const agent = "tenant:acme/agent:support-bot"

const program = Effect.gen(function*() {
  const ledger = yield* Ledger.Ledger
  yield* Effect.forEach(steps, act)
  yield* Console.log(`really done: ${ran.join(", ")}`)

  // An operator may give points for one e-mail …
  yield* ledger.fund("acme", {
    idempotencyKey: IdempotencyKey.make("one-email"),
    scope: `${agent}/toolset:send-email`,
    operation: "CREDIT",
    amount: Amount.riskPoints(50)
  })
  yield* Effect.forEach(email, act)

  // … or forbid e-mail as a kind of action, whatever points there are.
  yield* ledger.createPolicy("acme", {
    name: "no e-mail to customers",
    scopePattern: "agent:support-bot",
    deniedActionKinds: ["message.email"]
  })
  yield* Effect.forEach(email, act)
}).pipe(
  Effect.provide(Layer.provideMerge(
    Layer.merge(Budget.layer({ subject: { agent: "support-bot" } }), simulatedDesk),
    Ledger.layerMemory({
      tenant: "acme",
      budgets: [
        { scope: agent, allocated: Amount.riskPoints(200) },
        { scope: `${agent}/toolset:internal-notes`, allocated: Amount.riskPoints(50) },
        { scope: `${agent}/toolset:crm-updates`, allocated: Amount.riskPoints(50) },
        { scope: `${agent}/toolset:send-email`, allocated: Amount.riskPoints(0) }
      ]
    })
  ))
)

await Effect.runPromise(program)
