/**
 * The text the agent works on: a folder of support tickets, one per file.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"

export interface Ticket {
  readonly name: string
  readonly text: string
}

export class NoTickets extends Schema.TaggedError<NoTickets>()("NoTickets", {
  folder: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `--input ${this.folder}: ${this.reason}`
  }
}

/** Longer tickets are cut, and further ones left out, so that any folder makes a demo of the same length. */
const MOST_CHARACTERS = 8_000
const MOST_TICKETS = 10

export const read = Effect.fn("Tickets.read")(function*(folder: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const names = yield* fs.readDirectory(folder).pipe(
    Effect.mapError(({ reason }) =>
      new NoTickets({
        folder,
        reason: reason._tag === "NotFound" ? "there is no such folder" : "this is not a folder one can read"
      })
    )
  )
  const texts = names.filter((name) => /\.(txt|md)$/i.test(name)).sort()
  const tickets = yield* Effect.forEach(texts, (name) =>
    fs.readFileString(path.join(folder, name)).pipe(
      Effect.map((text): Ticket => ({ name, text: text.trim().slice(0, MOST_CHARACTERS) })),
      Effect.orElseSucceed((): Ticket => ({ name, text: "" }))
    ))
  const [first, ...rest] = tickets.filter(({ text }) => text !== "").slice(0, MOST_TICKETS)
  return first === undefined
    ? yield* new NoTickets({ folder, reason: "there is no readable .txt or .md file with text in it" })
    : [first, ...rest] as const
})
