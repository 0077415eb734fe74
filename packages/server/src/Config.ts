/**
 * How a server is set up: by flags, else by environment variables, else as it comes.
 *
 * The environment is text: an empty variable counts as absent. Secrets have no flags, since every user of a machine can read the
 * flags of its processes; they are given by a variable, or by a file that a flag or a variable names.
 *
 * @since 0.1.0
 */
import * as Flag from "effect/cli/Flag"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { readFile } from "node:fs/promises"
import { resolve } from "node:path"
import * as Secrets from "./Secrets.ts"
import { defaults } from "./Server.ts"
import { StartupError } from "./StartupError.ts"
import type * as Storage from "./Storage.ts"

/** A flag that falls back to a variable. */
const setting = <A, B>(
  flag: Flag.Flag<A>,
  variable: string,
  config: (name: string) => Config.Config<B>,
  what: string
) => flag.pipe(Flag.withFallbackConfig(config(variable)), Flag.withDescription(`${what} [${variable}]`))

const stores = ["sqlite", "postgres", "memory"] as const

/**
 * The flags that say where a ledger is kept: those of `cycles serve`, and of every command that works on a store itself.
 *
 * @category flags
 * @since 0.1.0
 */
export const storeFlags = {
  store: setting(
    Flag.Literals("store", stores),
    "CYCLES_STORE",
    (name) => Config.Literals(stores, name),
    "Where the ledger is kept: a file, a PostgreSQL database, or only in memory"
  ).pipe(Flag.withDefault("sqlite")),
  dataDir: setting(
    Flag.String("data-dir"),
    "CYCLES_DATA_DIR",
    Config.String,
    "The folder of the SQLite file and of the secrets that are not given"
  ).pipe(Flag.withMetavar("DIR"), Flag.withDefault("cycles-data")),
  databaseUrl: setting(
    Flag.Redacted("database-url"),
    "CYCLES_DATABASE_URL",
    Config.Redacted,
    "The PostgreSQL database; the variable keeps its password out of the list of processes"
  ).pipe(Flag.withMetavar("URL"), Flag.optional),
  databaseSchema: setting(
    Flag.String("database-schema"),
    "CYCLES_DATABASE_SCHEMA",
    Config.String,
    "The schema of the tables"
  ).pipe(Flag.withDefault("cycles")),
  databaseLanes: setting(
    Flag.Int("database-lanes"),
    "CYCLES_DATABASE_LANES",
    Config.Int,
    "How many transactions run side by side, each on a connection of its own"
  ).pipe(Flag.withDefault(4)),
  synchronous: setting(
    Flag.Literals("synchronous", ["full", "normal", "off"]),
    "CYCLES_SYNCHRONOUS",
    (name) => Config.Literals(["full", "normal", "off"], name),
    "What a reply promises with SQLite: on the disk, unless power fails, or nothing"
  ).pipe(Flag.withDefault("full")),
  adminApiKeyFile: setting(
    Flag.String("admin-api-key-file"),
    "CYCLES_ADMIN_API_KEY_FILE",
    Config.String,
    "A file with the admin key; CYCLES_ADMIN_API_KEY is the key itself"
  ).pipe(Flag.withMetavar("FILE"), Flag.optional),
  pepperFile: setting(
    Flag.String("pepper-file"),
    "CYCLES_PEPPER_FILE",
    Config.String,
    "A file with the peppers that API keys are signed with, one a line, the newest first; CYCLES_PEPPERS has them by commas"
  ).pipe(Flag.withMetavar("FILE"), Flag.optional)
}

/**
 * What {@link storeFlags} say.
 *
 * @category models
 * @since 0.1.0
 */
export type StoreSettings = {
  readonly [K in keyof typeof storeFlags]: (typeof storeFlags)[K] extends Flag.Flag<infer A> ? A : never
}

/**
 * The flags of `cycles serve`.
 *
 * @category flags
 * @since 0.1.0
 */
export const serveFlags = {
  host: setting(
    Flag.String("host"),
    "CYCLES_HOST",
    Config.String,
    "The address to listen on; 0.0.0.0 lets other machines in"
  ).pipe(Flag.withDefault(defaults.host)),
  port: setting(
    Flag.Int("port").pipe(Flag.withAlias("p")),
    "CYCLES_PORT",
    Config.Port,
    "The port to listen on; a free one with 0"
  ).pipe(Flag.withDefault(defaults.port)),
  ...storeFlags
}

/**
 * What {@link serveFlags} say.
 *
 * @category models
 * @since 0.1.0
 */
export type ServeSettings = {
  readonly [K in keyof typeof serveFlags]: (typeof serveFlags)[K] extends Flag.Flag<infer A> ? A : never
}

const given = (name: string): Effect.Effect<Option.Option<string>> => Effect.orDie(Config.option(Config.String(name)))

const secretFile = (path: string): Effect.Effect<string, StartupError> =>
  Effect.tryPromise({
    try: async () => (await readFile(path, "utf8")).trim(),
    catch: (cause) =>
      new StartupError({
        reason: "Secret",
        message: `The secret in ${path} cannot be read. Check that the file exists and that this user may read it`,
        cause
      })
  })

/** What a variable says, else what is in the file. */
const secretOf = (variable: string, file: Option.Option<string>): Effect.Effect<string | undefined, StartupError> =>
  Effect.flatMap(
    given(variable),
    Option.match({
      onSome: (value) => Effect.succeed(value),
      onNone: () => Option.match(file, { onSome: secretFile, onNone: () => Effect.succeed(undefined) })
    })
  )

/**
 * A store and its secrets, as the settings and the environment say.
 *
 * - `storage`: for `Storage.layer`
 * - `secrets`: the secrets, made where there were none
 *
 * @category models
 * @since 0.1.0
 */
export interface Resolved {
  readonly storage: Storage.Options
  readonly secrets: Secrets.Secrets
}

const missing = (what: string, variable: string): StartupError =>
  new StartupError({
    reason: "Secret",
    message: `With PostgreSQL the ${what} has to be given, so that all servers on the database have the same: ` +
      `set ${variable} to 32 or more secret characters, for example those of: openssl rand -hex 32`
  })

/**
 * Finds the store and the secrets. Those of SQLite are kept beside the database, and made by the first start; those of memory end
 * with the process; those of PostgreSQL have to be given, since several servers share them.
 *
 * @category constructors
 * @since 0.1.0
 */
export const resolveStore = Effect.fnUntraced(
  function*(settings: StoreSettings): Effect.fn.Return<Resolved, StartupError> {
    const adminKey = yield* secretOf("CYCLES_ADMIN_API_KEY", settings.adminApiKeyFile)
    const pepperText = Option.getOrUndefined(yield* given("CYCLES_PEPPER")) ??
      (yield* secretOf("CYCLES_PEPPERS", settings.pepperFile))
    const peppers = (pepperText ?? "").split(/[\s,]+/).filter((text) => text !== "")
    const dataDir = resolve(settings.dataDir)
    let store: Storage.Store
    switch (settings.store) {
      case "memory":
        store = { store: "memory" }
        break
      case "sqlite":
        store = { store: "sqlite", dataDir, synchronous: settings.synchronous }
        break
      case "postgres": {
        if (Option.isNone(settings.databaseUrl)) {
          return yield* new StartupError({
            reason: "Usage",
            message: "With --store postgres the database has to be named: set CYCLES_DATABASE_URL to postgresql://…"
          })
        }
        if (peppers.length === 0) return yield* missing("pepper of API keys", "CYCLES_PEPPER")
        if (adminKey === undefined) return yield* missing("admin key", "CYCLES_ADMIN_API_KEY")
        store = {
          store: "postgres",
          url: settings.databaseUrl.value,
          schema: settings.databaseSchema,
          lanes: settings.databaseLanes
        }
      }
    }
    const secrets = yield* Secrets.load({
      adminKey: adminKey === undefined ? undefined : Redacted.make(adminKey, { label: "admin key" }),
      peppers: peppers.map((pepper) => Redacted.make(pepper, { label: "pepper" })),
      directory: store.store === "sqlite" ? dataDir : undefined
    })
    return { storage: { store, peppers: secrets.peppers }, secrets }
  }
)
