/**
 * What a server must keep to itself: the operator's key, and the pepper that API keys are signed with.
 *
 * Given by the environment, or kept in the data directory, which is where the first start puts those it makes. A file of theirs is
 * readable by its owner only (0600).
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { createHash, randomBytes, timingSafeEqual } from "node:crypto"
import { chmod, link, mkdir, open, readFile, stat, unlink } from "node:fs/promises"
import { dirname, join } from "node:path"
import { StartupError } from "./StartupError.ts"

/**
 * The secrets of a server, and where they came from.
 *
 * - `adminKey`: what `X-Admin-API-Key` must be
 * - `peppers`: what API keys are signed with, the newest first
 * - `isNewAdminKey`: whether the admin key was made just now, so that somebody has to be told
 * - `kept`: the files that hold the secrets that were not given
 *
 * @category models
 * @since 0.1.0
 */
export interface Secrets {
  readonly adminKey: Redacted.Redacted<string>
  readonly peppers: readonly [Redacted.Redacted<string>, ...ReadonlyArray<Redacted.Redacted<string>>]
  readonly isNewAdminKey: boolean
  readonly kept: ReadonlyArray<string>
}

/**
 * Which secrets are given, and where the others are kept.
 *
 * - `adminKey`, `peppers`: those that are given; both are at least 32 characters long
 * - `directory`: where those that are not given are kept, and made if they are not there; without one they last as long as the process
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly adminKey?: Redacted.Redacted<string> | undefined
  readonly peppers?: ReadonlyArray<Redacted.Redacted<string>> | undefined
  readonly directory?: string | undefined
}

const MIN_LENGTH = 32

const make = (prefix: string): string => `${prefix}${randomBytes(32).toString("hex")}`

const codeOf = (cause: unknown): string | undefined =>
  cause instanceof Error && "code" in cause ? String(cause.code) : undefined

const unusable = (path: string, what: string) => (cause: unknown) => {
  const code = codeOf(cause)
  return new StartupError({
    reason: "DataDirectory",
    message: `${path} cannot be ${what}${
      code === undefined ? "" : ` (${code})`
    }. Give this user the right to read and write there, or name another folder with --data-dir or CYCLES_DATA_DIR`,
    cause
  })
}

/** Makes one folder, and tells whether the one it is to be in is missing. */
const lacksParent = async (path: string): Promise<boolean> => {
  try {
    await mkdir(path, { mode: 0o700 })
    return false
  } catch (cause) {
    // Somebody may have been quicker.
    if (codeOf(cause) === "EEXIST") return false
    if (codeOf(cause) === "ENOENT") return true
    throw cause
  }
}

/** Node's own `recursive` does not end where a file system takes no folders at all. */
const makeFolder = async (path: string): Promise<void> => {
  if (!(await lacksParent(path))) return
  if (dirname(path) !== path) await makeFolder(dirname(path))
  await mkdir(path, { mode: 0o700 }).catch((cause: unknown) => {
    if (codeOf(cause) !== "EEXIST") throw cause
  })
}

/**
 * Makes a folder that only its owner may enter, where there is none.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeDirectory = (path: string): Effect.Effect<void, StartupError> =>
  Effect.tryPromise({
    try: () => makeFolder(path),
    catch: unusable(path, "made")
  })

/** Reads a secret's file, making it if it is not there. Of two processes that make it at once, one does and both read that. */
const keep = (path: string, content: () => string): Effect.Effect<{ text: string; isNew: boolean }, StartupError> =>
  Effect.tryPromise({
    try: async () => {
      try {
        const text = await readFile(path, "utf8")
        // Made by somebody's copy or backup, perhaps: it is nobody else's to read.
        const { mode } = await stat(path)
        if ((mode & 0o077) !== 0) await chmod(path, 0o600)
        return { text, isNew: false }
      } catch (cause) {
        if (codeOf(cause) !== "ENOENT") throw cause
      }
      // Written beside and then linked: the file is there whole or not at all, and never replaces another.
      const draft = `${path}.${process.pid}.${randomBytes(4).toString("hex")}`
      const file = await open(draft, "wx", 0o600)
      try {
        const text = `${content()}\n`
        await file.writeFile(text)
        await file.sync()
        await link(draft, path)
        return { text, isNew: true }
      } catch (cause) {
        if (codeOf(cause) !== "EEXIST") throw cause
        return { text: await readFile(path, "utf8"), isNew: false }
      } finally {
        await file.close()
        await unlink(draft)
      }
    },
    catch: unusable(path, "read or written")
  })

const tooShort = (name: string): StartupError =>
  new StartupError({
    reason: "Secret",
    message: `${name} is shorter than ${MIN_LENGTH} characters. Make one with: openssl rand -hex 32`
  })

const lines = (text: string): ReadonlyArray<string> =>
  text.split("\n").map((line) => line.trim()).filter((line) => line !== "")

/**
 * The secrets of a server: those that are given, and those of its data directory.
 *
 * @category constructors
 * @since 0.1.0
 */
export const load = Effect.fnUntraced(function*(options: Options): Effect.fn.Return<Secrets, StartupError> {
  const { directory } = options
  const kept: Array<string> = []
  if (directory !== undefined) yield* makeDirectory(directory)

  const kindOf = function*(name: string, prefix: string) {
    if (directory === undefined) return { values: [make(prefix)], isNew: true, source: "it" }
    const path = join(directory, name)
    const { isNew, text } = yield* keep(path, () => make(prefix))
    kept.push(path)
    return { values: lines(text), isNew, source: path }
  }

  let isNewAdminKey = false
  let adminKey = options.adminKey
  if (adminKey === undefined) {
    const { isNew, source, values: [value = ""] } = yield* kindOf("admin-key", "cyc_admin_")
    if (value.length < MIN_LENGTH) return yield* tooShort(`The admin key in ${source}`)
    adminKey = Redacted.make(value, { label: "admin key" })
    isNewAdminKey = isNew
  } else if (Redacted.value(adminKey).length < MIN_LENGTH) return yield* tooShort("The admin key")

  let peppers = options.peppers ?? []
  let source = "that is given"
  if (peppers.length === 0) {
    const found = yield* kindOf("pepper", "")
    source = `in ${found.source}`
    peppers = found.values.map((value) => Redacted.make(value, { label: "pepper" }))
  }
  const [newest, ...older] = peppers
  if (newest === undefined || peppers.some((pepper) => Redacted.value(pepper).length < MIN_LENGTH)) {
    return yield* tooShort(`A pepper ${source}`)
  }
  return { adminKey, peppers: [newest, ...older], isNewAdminKey, kept }
})

const digest = (text: string): Buffer => createHash("sha256").update(text).digest()

/**
 * Whether somebody's key is the right one. Digests are compared, so how long it takes tells neither length nor content.
 *
 * @category combinators
 * @since 0.1.0
 */
export const isRight = (right: Redacted.Redacted<string>): (key: Redacted.Redacted<string>) => boolean => {
  const expected = digest(Redacted.value(right))
  return (key) => timingSafeEqual(digest(Redacted.value(key)), expected)
}
