/**
 * A support agent: draft a reply, have it evaluated, refine it, until it is good enough.
 *
 * How the model is called is a parameter. The agent knows nothing of money, and has no limit of its own.
 */
import * as Effect from "effect/Effect"
import * as Chat from "./Chat.ts"
import type { Ticket } from "./Tickets.ts"

export type Step = "draft" | "evaluate" | "refine" | "triage"

/** One call of the model: the whole conversation so far. */
export interface Turn {
  readonly step: Step
  readonly messages: ReadonlyArray<Chat.Message>
}

/** Replies are scored from 0 to 10. Nothing will ever be good enough, and no test noticed: this is the bug the demo is about. */
const GOOD_ENOUGH = 11

const role = Chat.system(
  "You are a support agent of a software company. Answer customers in full sentences, to the point, and promise nothing " +
    "you cannot keep. When asked to evaluate, be strict and begin with \"Score: n/10\"."
)

const instructions = {
  draft: (ticket: Ticket) => `Draft a reply to this ticket.\n\n${ticket.text}`,
  evaluate: "Evaluate the last reply: does it answer everything that was asked? Begin with the score.",
  refine: "Refine the reply along the evaluation. Write the whole reply again."
}

const scoreOf = (evaluation: string): number => Number(/score:\s*(\d+)/i.exec(evaluation)?.[1] ?? 0)

export const work = Effect.fn("Agent.work")(
  function*<E, R>(ticket: Ticket, call: (turn: Turn) => Effect.Effect<string, E, R>): Effect.fn.Return<string, E, R> {
    let messages: ReadonlyArray<Chat.Message> = [role]
    const ask = Effect.fnUntraced(function*(step: Step, instruction: string): Effect.fn.Return<string, E, R> {
      const asked = [...messages, Chat.user(instruction)]
      const answer = yield* call({ step, messages: asked })
      messages = [...asked, Chat.assistant(answer)]
      return answer
    })

    let reply = yield* ask("draft", instructions.draft(ticket))
    while (scoreOf(yield* ask("evaluate", instructions.evaluate)) < GOOD_ENOUGH) {
      reply = yield* ask("refine", instructions.refine)
    }
    return reply
  }
)

/** The first turn on a ticket. */
export const opening = (ticket: Ticket): Turn => ({
  step: "draft",
  messages: [role, Chat.user(instructions.draft(ticket))]
})

/** One prompt about the whole queue, built anew for every attempt. */
export const triage = (tickets: ReadonlyArray<Ticket>, attempt: number): Turn => ({
  step: "triage",
  messages: [
    role,
    ...tickets.map(({ text }) => Chat.user(text)),
    Chat.user(`Attempt ${attempt}. Which of these tickets comes first, and why? Draft a reply to it.`)
  ]
})
