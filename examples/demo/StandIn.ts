/**
 * A model that writes nothing worth reading, at the length and the price of one that does.
 *
 * It answers from the ticket it is sent. The same seed and the same messages give the same answer.
 */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Ref from "effect/Ref"
import type { ScenarioName } from "./CallLog.ts"
import type * as Chat from "./Chat.ts"
import type { Backend } from "./Endpoint.ts"
import * as Tokens from "./Tokens.ts"

/** How often the retry scenarios meet a 503: the 47 retries of the story, the last of which gets through. */
export const OUTAGE = 47

/** What makes each scenario take about as long to watch. */
const pace: Record<ScenarioName, number> = {
  unguarded: 1,
  guarded: 1.5,
  ten: 6,
  retryUnguarded: 1,
  retryGuarded: 2,
  interrupted: 400
}

export const make = Effect.fnUntraced(function*(options: { readonly seed: number; readonly speed: number }) {
  const outages = yield* Ref.make<Partial<Record<ScenarioName, number>>>({})

  const isDown = (scenario: ScenarioName) =>
    scenario === "retryUnguarded" || scenario === "retryGuarded"
      ? Ref.modify(outages, (seen) => {
        const count = (seen[scenario] ?? 0) + 1
        return [count <= OUTAGE, { ...seen, [scenario]: count }] as const
      })
      : Effect.succeed(false)

  const backend: Backend = Effect.fnUntraced(function*(scenario, request) {
    const down = yield* isDown(scenario)
    const content = yield* write(request).pipe(
      Random.withSeed(`${options.seed}/${request.messages.length}/${request.messages.at(-1)?.content ?? ""}`)
    )
    const usage = { prompt_tokens: Tokens.ofMessages(request.messages), completion_tokens: Tokens.ofText(content) }
    yield* Effect.sleep((8 + usage.completion_tokens / 16) * pace[scenario] / options.speed)
    // The gateway in front of the model gives up; the model has done its work, and bills it.
    return down
      ? { status: 503, usage, body: { error: { message: "upstream connect error or disconnect/reset" }, usage } }
      : { status: 200, usage, body: completion(request.model, content, usage) }
  })
  return backend
})

const completion = (model: string, content: string, usage: Chat.Usage) => ({
  object: "chat.completion",
  model,
  choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
  usage: { ...usage, total_tokens: usage.prompt_tokens + usage.completion_tokens }
})

// ---------------------------------------------------------------------------------------------------------------------
// text
// ---------------------------------------------------------------------------------------------------------------------

const replies = [
  "You wrote: \"{}\" We have looked into this and will tell you by the end of the day what we found.",
  "About \"{}\": the colleague who knows this part of the product has your ticket now and writes to you directly.",
  "\"{}\" That should not have happened, and we are sorry for the work it has made you.",
  "As to \"{}\", the answer is yes, and you will have it in writing so that you can pass it on.",
  "You also mention: \"{}\" We cannot promise a date for this yet; we will say so as soon as we can."
]

const remarks = [
  "The reply quotes \"{}\" but does not say what happens next.",
  "\"{}\" is a question with a deadline, and the reply names none.",
  "The tone is right where it speaks of \"{}\", yet the sentence promises more than is known.",
  "The customer asked for something in writing at \"{}\"; the reply only mentions it."
]

/** Sentences about sentences of the ticket, until there are about as many tokens as such a text has. */
const write = Effect.fnUntraced(function*(request: Chat.Request) {
  const evaluates = request.messages.at(-1)?.content.startsWith("Evaluate") === true
  const [heading = "", ...rest] = (request.messages[1]?.content ?? "").split(/(?<=[.?!])\s+/)
  const quotes = (rest.length === 0 ? [heading] : rest).map((quote) => quote.replace(/\s+/g, " ").slice(0, 160))
  const pick = (items: ReadonlyArray<string>) =>
    Effect.map(Random.nextIntBetween(0, items.length), (index) => items[index] ?? "")

  const most = evaluates ? yield* Random.nextIntBetween(150, 240) : yield* Random.nextIntBetween(280, 400)
  let text = evaluates ? `Score: ${yield* Random.nextIntBetween(4, 9)}/10.` : "Hello, and thank you for the details."
  let tokens = Tokens.ofText(text)
  while (true) {
    const quote = yield* pick(quotes)
    const sentence = (yield* pick(evaluates ? remarks : replies)).replace("{}", () => quote)
    tokens += Tokens.ofText(` ${sentence}`)
    if (tokens > Math.min(most, request.max_tokens)) return text
    text = `${text} ${sentence}`
  }
})
