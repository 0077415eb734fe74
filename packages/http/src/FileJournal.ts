/**
 * The journal of settlements as a folder of files, one for each: what was used is on the disk before it is sent, and survives a
 * crash of the process and of the machine.
 *
 * Folder, file names, permissions and format are those of the other Cycles clients, so that any client of the same server and
 * tenant settles what another one left. Several processes may share the folder.
 *
 * Give the client beside it `retries: 0`: what is journaled is repeated here, and a wait the authority asks for is kept over a
 * restart, which the client's own waits are not.
 *
 * It is written on the `FileSystem` and `Path` services of Effect; on Node.js both come from `@effect/platform-node`.
 *
 * **Example** (A budget whose charges survive a crash)
 *
 * ```ts
 * import { FileJournal } from "@effect-cycles/http"
 * import { NodeServices } from "@effect/platform-node"
 * import { Layer, Redacted } from "effect"
 * import { Budget } from "effect-cycles"
 *
 * const journal = FileJournal.layer({
 *   baseUrl: "https://cycles.example.com",
 *   tenant: "acme",
 *   apiKey: Redacted.make("cyc_live_…")
 * })
 *
 * // Still to be provided: the authority.
 * const budget = Budget.layer().pipe(Layer.provide(journal), Layer.provide(NodeServices.layer))
 * ```
 *
 * @since 0.1.0
 */
import { pbkdf2Async } from "@noble/hashes/pbkdf2.js"
import { sha256 } from "@noble/hashes/sha2.js"
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js"
import { EventRequest } from "effect-cycles/protocol/Event"
import { ReservationId } from "effect-cycles/protocol/Ids"
import { CommitRequest } from "effect-cycles/protocol/Settle"
import type { JournalRecord, Service } from "effect-cycles/runtime/Journal"
import { Journal, JournalError } from "effect-cycles/runtime/Journal"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as CyclesClient from "./CyclesClient.ts"
import * as WireJson from "./WireJson.ts"

// Web Crypto, which every supported runtime has.
declare const crypto: { readonly randomUUID: () => string }

/**
 * Whose records these are. Clients find each other's only where all of it is the same, to the letter.
 *
 * - `baseUrl`: of the server, as the client is configured with it
 * - `tenant`: where it is given, the records survive a change of the API key
 * - `apiKey`: stands for the tenant where none is given. It is not stored
 *
 * @category models
 * @since 0.1.0
 */
export interface Identity {
  readonly baseUrl: string
  readonly tenant?: string | undefined
  readonly apiKey: Redacted.Redacted<string>
}

/**
 * - `directory`: the folder that has the folders of all identities; `CYCLES_JOURNAL_DIR` when not given, and
 *   `.runcycles/commit-journal` in the home directory without that
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends Identity {
  readonly directory?: string | undefined
}

const VERSION = 1
const SUFFIX = ".json"
const STALE_TEMPORARY_MS = 3_600_000

/**
 * The name of an identity's folder: 16 hexadecimal digits that tell nothing about the key they come from.
 *
 * **Example** (The folder of a tenant)
 *
 * ```ts
 * import { FileJournal } from "@effect-cycles/http"
 * import { Effect, Redacted } from "effect"
 *
 * const identity = { baseUrl: "http://localhost", tenant: "acme", apiKey: Redacted.make("test-key") }
 *
 * console.log(await Effect.runPromise(FileJournal.folderOf(identity))) // => "8baba538fb970da4"
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const folderOf = ({ apiKey, baseUrl, tenant }: Identity): Effect.Effect<string> =>
  Effect.promise(async () => {
    const principal = tenant === undefined || tenant.trim() === ""
      ? `key\n${Redacted.value(apiKey)}`
      : `tenant\n${tenant}`
    const salt = `runcycles-commit-journal\n${baseUrl}`
    const derived = await pbkdf2Async(sha256, utf8ToBytes(principal), utf8ToBytes(salt), { c: 30_000, dkLen: 32 })
    return bytesToHex(derived).slice(0, 16)
  })

/**
 * The name of a reservation's file.
 *
 * @category getters
 * @since 0.1.0
 */
export const fileOf = (id: ReservationId): string => `v2-${bytesToHex(sha256(utf8ToBytes(id)))}${SUFFIX}`

/** What older clients called it. Different reservations may have the same name. */
const legacyFileOf = (id: ReservationId): string => `${id.replace(/[^A-Za-z0-9_-]/g, "_")}${SUFFIX}`

// ---------------------------------------------------------------------------------------------------------------------
// the text of a record
// ---------------------------------------------------------------------------------------------------------------------

const RecordJson = Schema.Struct({
  version: Schema.Literal(VERSION),
  reservation_id: ReservationId,
  base_url: Schema.optionalKey(Schema.String),
  mode: Schema.optionalKey(Schema.Literals(["commit", "event"])),
  commit_body: Schema.optionalKey(Schema.NullOr(Schema.Unknown)),
  event_fallback_body: Schema.optionalKey(Schema.NullOr(Schema.Unknown)),
  recorded_at_ms: Schema.optionalKey(Schema.Natural),
  not_before_ms: Schema.optionalKey(Schema.NullOr(Schema.Natural))
})

const decodeRecord = Schema.decodeUnknownResult(RecordJson)
const decodeCommit = Schema.decodeUnknownResult(CommitRequest)
const decodeEvent = Schema.decodeUnknownResult(EventRequest)
const encodeCommit = Schema.encodeSync(CommitRequest)
const encodeEvent = Schema.encodeSync(EventRequest)

const body = <A>(
  decode: (body: unknown) => Result.Result<A, Schema.SchemaError>,
  value: unknown
): Result.Result<A | undefined, { readonly message: string }> => {
  if (value === undefined || value === null) return Result.succeed(undefined)
  // Absent members may have been written as null.
  const isObject = typeof value === "object" && !Array.isArray(value)
  return decode(isObject ? Object.fromEntries(Object.entries(value).filter(([, member]) => member !== null)) : value)
}

/** A record as it was read, and the server it is for. */
interface Read {
  readonly baseUrl: string
  readonly record: JournalRecord
}

const read = (text: string, writtenAtMs: number): Result.Result<Read, { readonly message: string }> =>
  Result.gen(function*() {
    const raw = yield* decodeRecord(yield* WireJson.parse(text))
    const commit = yield* body(decodeCommit, raw.commit_body)
    const event = yield* body(decodeEvent, raw.event_fallback_body)
    const common = {
      reservationId: raw.reservation_id,
      recordedAtMs: raw.recorded_at_ms ?? writtenAtMs,
      notBeforeMs: raw.not_before_ms ?? undefined
    }
    const baseUrl = raw.base_url ?? ""
    if (raw.mode === "event") {
      return event === undefined
        ? yield* Result.fail({ message: "an event without its event_fallback_body" })
        : { baseUrl, record: { ...common, mode: "event", commit, event } }
    }
    return commit === undefined
      ? yield* Result.fail({ message: "a commit without its commit_body" })
      : { baseUrl, record: { ...common, mode: "commit", commit, event } }
  })

const write = (baseUrl: string, record: JournalRecord): string =>
  WireJson.stringify({
    version: VERSION,
    reservation_id: record.reservationId,
    base_url: baseUrl,
    mode: record.mode,
    commit_body: record.commit === undefined ? null : encodeCommit(record.commit),
    event_fallback_body: record.event === undefined ? null : encodeEvent(record.event),
    recorded_at_ms: record.recordedAtMs,
    not_before_ms: record.notBeforeMs ?? null
  })

// ---------------------------------------------------------------------------------------------------------------------
// the folder
// ---------------------------------------------------------------------------------------------------------------------

const home = Config.String("HOME").pipe(Config.orElse(() => Config.String("USERPROFILE")))

const isMissing = (error: PlatformError): boolean => error.reason._tag === "NotFound"

const failedTo = (operation: JournalError["operation"]) => (cause: PlatformError | JournalError): JournalError =>
  cause._tag === "JournalError" ? cause : new JournalError({ operation, reason: cause.message, cause })

/**
 * Opens the journal of an identity. Its folder is made when there is something to write.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<Service, Config.ConfigError, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const { baseUrl } = options
  const configured = options.directory ??
    Option.getOrUndefined(yield* Config.option(Config.String("CYCLES_JOURNAL_DIR")))
  const base = configured ?? path.join(yield* home, ".runcycles", "commit-journal")
  const directory = path.join(base, yield* folderOf(options))
  const targetOf = (id: ReservationId): string => path.join(directory, fileOf(id))

  /** What was renamed, made or removed in a folder survives a crash of the machine only after this. */
  const syncDirectory = (folder: string): Effect.Effect<void, PlatformError> =>
    Effect.scoped(
      Effect.flatMap(
        // Where folders cannot be opened, as on Windows, there is nothing to sync.
        Effect.option(fs.open(folder, { flag: "r" })),
        Option.match({ onNone: () => Effect.void, onSome: (file) => file.sync })
      )
    )

  /** Makes the folder, readable for its owner only. Folders that were there already keep their permissions, but for this one. */
  const prepare = Effect.gen(function*() {
    if (yield* fs.exists(directory)) return
    const missing: Array<string> = []
    for (let folder = directory; !(yield* fs.exists(folder)); folder = path.dirname(folder)) missing.push(folder)
    yield* fs.makeDirectory(directory, { recursive: true, mode: 0o700 })
    for (const folder of missing) yield* syncDirectory(path.dirname(folder))
  })

  const put = Effect.fnUntraced(function*(record: JournalRecord) {
    const text = yield* Effect.try({
      try: () => write(baseUrl, record),
      catch: (cause) => new JournalError({ operation: "append", reason: "it cannot be written as JSON", cause })
    })
    yield* prepare
    const target = targetOf(record.reservationId)
    // A name of its own: another process may be writing the same record.
    const temporary = `${target}.${crypto.randomUUID()}.tmp`
    const written = Effect.gen(function*() {
      yield* Effect.scoped(Effect.gen(function*() {
        const file = yield* fs.open(temporary, { flag: "wx", mode: 0o600 })
        yield* file.writeAll(utf8ToBytes(text))
        yield* file.sync
      }))
      yield* fs.rename(temporary, target)
    })
    yield* Effect.onError(written, () => Effect.ignore(fs.remove(temporary, { force: true })))
    yield* syncDirectory(directory)
  })

  /** The record in a file, or why it is none; nothing where the file is gone, or is not readable now. */
  const load = (
    file: string
  ): Effect.Effect<Result.Result<Read, { readonly message: string }> | undefined, PlatformError> =>
    Effect.gen(function*() {
      const text = yield* fs.readFileString(file)
      const { mtime } = yield* fs.stat(file)
      const writtenAtMs = Option.match(mtime, { onNone: () => 0, onSome: (date) => date.getTime() })
      return read(text, writtenAtMs)
    }).pipe(Effect.catchIf(isMissing, () => Effect.undefined))

  const removeStale = Effect.fnUntraced(function*(file: string, now: number) {
    const { mtime } = yield* fs.stat(file)
    if (Option.isSome(mtime) && mtime.value.getTime() < now - STALE_TEMPORARY_MS) {
      yield* fs.remove(file, { force: true })
    }
  })

  /** Gives a file its name of today, where no other file has it. Whether its record is still to be settled by it. */
  const migrate = Effect.fnUntraced(function*(file: string, { reservationId }: JournalRecord) {
    const target = targetOf(reservationId)
    if (file === target) return true
    if (!(yield* fs.exists(target))) {
      yield* fs.rename(file, target)
      yield* syncDirectory(directory)
      return true
    }
    const other = yield* load(target)
    if (other === undefined || Result.isFailure(other) || other.success.record.reservationId !== reservationId) {
      return true
    }
    yield* fs.remove(file, { force: true })
    return false
  })

  const removeLegacy = Effect.fnUntraced(function*(id: ReservationId) {
    const file = path.join(directory, legacyFileOf(id))
    const found = yield* load(file)
    if (found !== undefined && Result.isSuccess(found) && found.success.record.reservationId === id) {
      yield* fs.remove(file, { force: true })
    }
  })

  /** Where a record goes that is not to be settled. What was put aside before stays. */
  const asideOf = Effect.fnUntraced(function*(file: string, why: "corrupt" | "quarantined") {
    const stem = file.slice(0, -SUFFIX.length)
    return (yield* fs.exists(`${stem}.${why}`)) ? `${stem}.${crypto.randomUUID()}.${why}` : `${stem}.${why}`
  })

  const look = (file: string): Effect.Effect<JournalRecord | undefined> =>
    Effect.gen(function*() {
      const found = yield* load(file)
      if (found === undefined) return undefined
      if (Result.isFailure(found)) {
        const aside = yield* asideOf(file, "corrupt")
        yield* Effect.logWarning(
          `A journal record cannot be read and is put aside as ${aside}: ${found.failure.message}`
        )
        yield* fs.rename(file, aside)
        return undefined
      }
      const { baseUrl: of, record } = found.success
      const isOurs = yield* migrate(file, record)
      return isOurs && of === baseUrl ? record : undefined
    }).pipe(
      Effect.catch((error) => Effect.as(Effect.logWarning(`The journal record ${file} is skipped`, error), undefined))
    )

  // What is there already may have been made by somebody less careful. A folder of the user's own choice is not ours to close.
  for (const folder of configured === undefined ? [base, directory] : [directory]) {
    yield* Effect.ignore(fs.chmod(folder, 0o700))
  }

  return {
    append: (record) => Effect.mapError(put(record), failedTo("append")),
    resolve: (id) =>
      Effect.gen(function*() {
        yield* fs.remove(targetOf(id), { force: true })
        yield* Effect.ignore(removeLegacy(id))
      }).pipe(Effect.mapError(failedTo("resolve"))),
    // Where another process settles the record at this very moment, it may come back; it is then sent once more under the same key,
    // which charges nothing again.
    defer: (id, notBeforeMs) =>
      Effect.gen(function*() {
        const found = yield* load(targetOf(id))
        if (found === undefined || Result.isFailure(found)) return
        yield* put({ ...found.success.record, notBeforeMs })
      }).pipe(Effect.mapError(failedTo("defer"))),
    quarantine: (id) => {
      const target = targetOf(id)
      return Effect.flatMap(asideOf(target, "quarantined"), (aside) => fs.rename(target, aside)).pipe(
        Effect.catchIf(isMissing, () => Effect.void),
        Effect.mapError(failedTo("quarantine"))
      )
    },
    pending: Effect.gen(function*() {
      const names = yield* Effect.catchIf(fs.readDirectory(directory), isMissing, () => Effect.succeed([]))
      const now = yield* Clock.currentTimeMillis
      const files = names.toSorted().map((name) => path.join(directory, name))
      for (const file of files) if (file.endsWith(".tmp")) yield* Effect.ignore(removeStale(file, now))
      const records = yield* Effect.forEach(files.filter((file) => file.endsWith(SUFFIX)), look)
      return records.filter((record) => record !== undefined)
    }).pipe(Effect.mapError(failedTo("pending")))
  }
})

/**
 * Provides the journal of an identity.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: Options
): Layer.Layer<Journal, Config.ConfigError, FileSystem.FileSystem | Path.Path> => Layer.effect(Journal, make(options))

/**
 * Provides the journal of the authority the environment names, see `CyclesClient.config`: its identity is `CYCLES_BASE_URL` with
 * `CYCLES_TENANT`, or with `CYCLES_API_KEY` where no tenant is named.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  options?: Pick<Options, "directory">
): Layer.Layer<Journal, Config.ConfigError, FileSystem.FileSystem | Path.Path> =>
  Layer.unwrap(
    Effect.map(CyclesClient.config, ({ apiKey, baseUrl, subject }) =>
      layer({ ...options, baseUrl, apiKey, tenant: subject?.tenant }))
  )
