/**
 * Token counts as OpenAI's current models count them.
 */
import { countTokens } from "gpt-tokenizer/encoding/o200k_base"
import type { Message } from "./Chat.ts"

// The whole conversation goes with every call, so the same messages are counted over and over.
const counted = new Map<string, number>()

// A ticket may contain what looks like a control token of the model; it is text like any other.
const asPlainText = { disallowedSpecial: new Set<string>() }

export const ofText = (text: string): number => {
  const known = counted.get(text)
  if (known !== undefined) return known
  const count = countTokens(text, asPlainText)
  counted.set(text, count)
  return count
}

/** Each message costs three tokens and its role on top of its text; the reply is primed with three more. */
export const ofMessages = (messages: ReadonlyArray<Message>): number =>
  messages.reduce((sum, { content, role }) => sum + 3 + ofText(role) + ofText(content), 3)
