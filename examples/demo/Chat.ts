/**
 * The part of OpenAI's chat completions wire format that the demo speaks, on both ends.
 */
import * as Schema from "effect/Schema"

export const Message = Schema.Struct({
  role: Schema.Literals(["system", "user", "assistant"]),
  content: Schema.String
})
export interface Message extends Schema.Schema.Type<typeof Message> {}

export const Request = Schema.Struct({
  model: Schema.String,
  messages: Schema.Array(Message),
  max_tokens: Schema.Natural
})
export interface Request extends Schema.Schema.Type<typeof Request> {}

export const Usage = Schema.Struct({
  prompt_tokens: Schema.Natural,
  completion_tokens: Schema.Natural
})
export interface Usage extends Schema.Schema.Type<typeof Usage> {}

export const Reply = Schema.Struct({
  choices: Schema.NonEmptyArray(Schema.Struct({ message: Message, finish_reason: Schema.String })),
  usage: Usage
})
export interface Reply extends Schema.Schema.Type<typeof Reply> {}

/** A failure that says what was billed all the same, as model gateways do. */
export const Failure = Schema.Struct({
  error: Schema.Struct({ message: Schema.String }),
  usage: Schema.optionalKey(Usage)
})

export const system = (content: string): Message => ({ role: "system", content })
export const user = (content: string): Message => ({ role: "user", content })
export const assistant = (content: string): Message => ({ role: "assistant", content })
