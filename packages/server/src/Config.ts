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
import * as IpNetwork from "effect/net/IpNetwork"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { readFile } from "node:fs/promises"
import { resolve } from "node:path"
import { defaults } from "./defaults.ts"
import * as Secrets from "./Secrets.ts"
import type * as Server from "./Server.ts"
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

/** A flag for a whole number in a range. */
const number = (name: string, variable: string, what: string, range: { from: number; to: number; otherwise: number }) =>
  setting(Flag.Int(name), variable, Config.Int, what).pipe(
    Flag.withDefault(range.otherwise),
    Flag.filter(
      (value) => value >= range.from && value <= range.to,
      (value) => `--${name} or ${variable} is ${value}, and must be from ${range.from} to ${range.to}`
    )
  )

/** A flag for any number of words, with commas between them. */
const words = (name: string, variable: string, what: string, metavar: string) =>
  setting(Flag.String(name), variable, Config.String, what).pipe(
    Flag.withMetavar(metavar),
    Flag.withDefault(""),
    Flag.map((text) => text.split(",").map((word) => word.trim()).filter((word) => word !== ""))
  )

const isOrigin = (word: string): boolean => {
  try {
    return new URL(word).origin === word
  } catch {
    return false
  }
}

const networks = (all: ReadonlyArray<string>): ReadonlyArray<Result.Result<IpNetwork.IpNetwork, unknown>> =>
  all.map((word) => IpNetwork.fromInput(word))

const DAY_MS = 86_400_000

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
  port: number("port", "CYCLES_PORT", "The port to listen on; a free one with 0", {
    from: 0,
    to: 65_535,
    otherwise: defaults.port
  }),
  adminPort: setting(
    Flag.Int("admin-port"),
    "CYCLES_ADMIN_PORT",
    Config.Int,
    "A second port, with the governance plane and its own GET /v1/balances"
  ).pipe(
    Flag.optional,
    Flag.filter(
      Option.match({ onNone: () => true, onSome: (port) => port >= 0 && port <= 65_535 }),
      () => "--admin-port or CYCLES_ADMIN_PORT must be from 0 to 65535"
    )
  ),
  governance: setting(
    Flag.Literals("governance", ["both", "admin"]),
    "CYCLES_GOVERNANCE",
    (name) => Config.Literals(["both", "admin"], name),
    "Whether the governance plane is on both ports, or on the admin port only"
  ).pipe(Flag.withDefault("both")),
  ...storeFlags,
  rateLimit: number(
    "rate-limit",
    "CYCLES_RATE_LIMIT",
    "How many requests a key may send per second; commit, release, extend and event are never counted. Any number with 0",
    { from: 0, to: 1_000_000, otherwise: defaults.requestsPerSecond }
  ),
  authFailures: number(
    "auth-failures",
    "CYCLES_AUTH_FAILURES",
    "How many keys that are not good an address may send per minute. Any number with 0",
    { from: 0, to: 1_000_000, otherwise: defaults.authFailuresPerMinute }
  ),
  maxBodyBytes: number("max-body-bytes", "CYCLES_MAX_BODY_BYTES", "How long the body of a request may be", {
    from: 1_024,
    to: 100 * 1_024 * 1_024,
    otherwise: defaults.maxRequestBytes
  }),
  maxHeaderBytes: number("max-header-bytes", "CYCLES_MAX_HEADER_BYTES", "How long the headers of a request may be", {
    from: 1_024,
    to: 1_024 * 1_024,
    otherwise: defaults.maxHeaderBytes
  }),
  maxConnections: number("max-connections", "CYCLES_MAX_CONNECTIONS", "How many connections may be open", {
    from: 1,
    to: 1_000_000,
    otherwise: defaults.maxConnections
  }),
  headersTimeout: number("headers-timeout", "CYCLES_HEADERS_TIMEOUT", "Milliseconds for headers to arrive", {
    from: 1,
    to: DAY_MS,
    otherwise: defaults.headersTimeoutMs
  }),
  requestTimeout: number("request-timeout", "CYCLES_REQUEST_TIMEOUT", "Milliseconds for a whole request to arrive", {
    from: 1,
    to: DAY_MS,
    otherwise: defaults.requestTimeoutMs
  }),
  idleTimeout: number("idle-timeout", "CYCLES_IDLE_TIMEOUT", "Milliseconds a connection may stand idle", {
    from: 1,
    to: DAY_MS,
    otherwise: defaults.idleTimeoutMs
  }),
  corsOrigins: words(
    "cors-origins",
    "CYCLES_CORS_ORIGINS",
    "The origins whose pages may ask, with commas between them; none unless given",
    "ORIGINS"
  ).pipe(
    Flag.filter(
      (all) => all.every(isOrigin),
      (all) => `${all.find((word) => !isOrigin(word))} is not an origin such as https://console.example.com`
    )
  ),
  trustedProxies: words(
    "trusted-proxies",
    "CYCLES_TRUSTED_PROXIES",
    "The networks of proxies whose X-Forwarded-For is believed, with commas between them; none unless given",
    "NETWORKS"
  ).pipe(
    Flag.filter(
      (all) => networks(all).every(Result.isSuccess),
      (all) => `one of ${all.join(", ")} is not a network such as 10.0.0.0/8 or an address`
    ),
    Flag.map((all) => networks(all).filter(Result.isSuccess).map(({ success }) => success))
  ),
  drainDelay: number(
    "drain-delay",
    "CYCLES_DRAIN_DELAY",
    "Milliseconds to go on, not ready any more, before connections are refused when told to stop",
    { from: 0, to: DAY_MS, otherwise: defaults.drainDelayMs }
  ),
  shutdownTimeout: number(
    "shutdown-timeout",
    "CYCLES_SHUTDOWN_TIMEOUT",
    "Milliseconds for requests to end when told to stop",
    { from: 0, to: DAY_MS, otherwise: defaults.shutdownTimeoutMs }
  ),
  logRequests: setting(
    Flag.Boolean("log-requests"),
    "CYCLES_LOG_REQUESTS",
    Config.Boolean,
    "Tell every request in the log"
  ).pipe(Flag.withDefault(false)),
  logFormat: setting(
    Flag.Literals("log-format", ["text", "json"]),
    "CYCLES_LOG_FORMAT",
    (name) => Config.Literals(["text", "json"], name),
    "The form of the log, which goes to the standard error"
  ).pipe(Flag.withDefault("text"))
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
 * What a server is told by the settings; its admin key is among the secrets.
 *
 * @category conversions
 * @since 0.1.0
 */
export const serverOptions = (settings: ServeSettings): Omit<Server.Options, "adminKey"> => ({
  host: settings.host,
  port: settings.port,
  adminPort: Option.getOrUndefined(settings.adminPort),
  governance: settings.governance,
  requestsPerSecond: settings.rateLimit,
  authFailuresPerMinute: settings.authFailures,
  maxRequestBytes: settings.maxBodyBytes,
  maxHeaderBytes: settings.maxHeaderBytes,
  maxConnections: settings.maxConnections,
  headersTimeoutMs: settings.headersTimeout,
  requestTimeoutMs: settings.requestTimeout,
  idleTimeoutMs: settings.idleTimeout,
  corsOrigins: settings.corsOrigins,
  trustedProxies: settings.trustedProxies,
  drainDelayMs: settings.drainDelay,
  shutdownTimeoutMs: settings.shutdownTimeout,
  logRequests: settings.logRequests
})

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
