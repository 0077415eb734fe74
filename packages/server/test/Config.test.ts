import { Config, Secrets, StartupError } from "@effect-cycles/server"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** What flags and variables come to, or the messages of what is wrong with them. */
const settingsOf = (args: ReadonlyArray<string>, env: { readonly [name: string]: string } = {}) => {
  let settings: Config.ServeSettings | undefined
  const messages: Array<string> = []
  const command = Command.make("serve", Config.serveFlags, (given) =>
    Effect.sync(() => {
      settings = given
    }))
  const presenter: CliOutput.Presenter = {
    present: (event) =>
      Effect.sync(() => {
        if (event._tag === "InvalidInvocation") messages.push(...event.errors.map(({ message }) => message))
      })
  }
  return Command.runWith(command, { version: "0" })(args).pipe(
    Effect.ignore,
    Effect.provide(Layer.mergeAll(
      NodeServices.layer,
      CliOutput.layerPresenter(presenter),
      ConfigProvider.layer(ConfigProvider.fromEnv({ env }))
    )),
    Effect.map(() => ({ settings, messages: messages.join("\n") }))
  )
}

const resolved = (args: ReadonlyArray<string>, env: { readonly [name: string]: string } = {}) =>
  Effect.flatMap(
    settingsOf(args, env),
    ({ messages, settings }) =>
      settings === undefined ? Effect.die(messages) : Config.resolveStore(settings).pipe(
        Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env })))
      )
  )

const temporary = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "config "))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

const secret = "0123456789abcdef0123456789abcdef"

describe("Settings", () => {
  it.live("are flags, else variables, else what holds without them", () =>
    Effect.gen(function*() {
      const bare = yield* settingsOf([])
      assert.strictEqual(bare.settings?.port, 7_878)
      assert.strictEqual(bare.settings?.host, "127.0.0.1")
      assert.strictEqual(bare.settings?.store, "sqlite")
      assert.deepStrictEqual(bare.settings?.corsOrigins, [])
      const env = {
        CYCLES_PORT: "1",
        CYCLES_HOST: "::1",
        CYCLES_ADMIN_PORT: "3",
        CYCLES_CORS_ORIGINS: "https://a.test, https://b.test"
      }
      const both = yield* settingsOf(["--port", "2"], env)
      assert.strictEqual(both.settings?.port, 2)
      assert.strictEqual(both.settings?.host, "::1")
      assert.deepStrictEqual(both.settings?.adminPort, Option.some(3))
      assert.deepStrictEqual(both.settings?.corsOrigins, ["https://a.test", "https://b.test"])
    }))

  it.live("that cannot be understood are told by their names", () =>
    Effect.gen(function*() {
      const cases: ReadonlyArray<
        readonly [words: RegExp, args: ReadonlyArray<string>, env?: { readonly [name: string]: string }]
      > = [
        [/--port or CYCLES_PORT is 99999/, [], { CYCLES_PORT: "99999" }],
        [/CYCLES_STORE/, [], { CYCLES_STORE: "redis" }],
        [/CYCLES_RATE_LIMIT/, [], { CYCLES_RATE_LIMIT: "-1" }],
        [/CYCLES_ADMIN_PORT/, ["--admin-port", "70000"]],
        [/\* is not an origin/, ["--cors-origins", "*"]],
        [/not a network/, [], { CYCLES_TRUSTED_PROXIES: "everyone" }],
        [/Unrecognized flag: --nothing/, ["--nothing"]]
      ]
      for (const [words, args, env] of cases) {
        const { messages, settings } = yield* settingsOf(args, env)
        assert.match(messages, words)
        assert.isUndefined(settings)
      }
    }))
})

describe("Secrets", () => {
  it.live("of PostgreSQL have to be given", () =>
    Effect.gen(function*() {
      const env = { CYCLES_STORE: "postgres", CYCLES_DATABASE_URL: "postgresql://cycles@127.0.0.1/x" }
      const failed = (more: { readonly [name: string]: string }) => Effect.flip(resolved([], { ...env, ...more }))
      const none = yield* failed({})
      assert.instanceOf(none, StartupError.StartupError)
      assert.strictEqual(none.reason, "Secret")
      assert.match(none.message, /CYCLES_PEPPER/)
      assert.match((yield* failed({ CYCLES_PEPPER: secret })).message, /CYCLES_ADMIN_API_KEY/)
      assert.match((yield* Effect.flip(resolved(["--store", "postgres"]))).message, /CYCLES_DATABASE_URL/)
      const { secrets, storage } = yield* resolved([], {
        ...env,
        CYCLES_PEPPERS: `${secret}a,${secret}b`,
        CYCLES_ADMIN_API_KEY: secret
      })
      assert.deepStrictEqual(secrets.peppers.map(Redacted.value), [`${secret}a`, `${secret}b`])
      assert.isFalse(secrets.isNewAdminKey)
      assert.strictEqual(storage.store.store, "postgres")
    }))

  it.live("are made once, whoever comes first", () =>
    Effect.gen(function*() {
      const folder = yield* temporary
      const all = yield* Effect.all(
        Array.from({ length: 8 }, () => Secrets.load({ directory: join(folder, "a", "b") })),
        {
          concurrency: "unbounded"
        }
      )
      assert.strictEqual(new Set(all.map(({ adminKey }) => Redacted.value(adminKey))).size, 1)
      assert.strictEqual(new Set(all.map(({ peppers }) => Redacted.value(peppers[0]))).size, 1)
      assert.strictEqual(all.filter(({ isNewAdminKey }) => isNewAdminKey).length, 1)
      const kept = readFileSync(join(folder, "a", "b", "admin-key"), "utf8").trim()
      assert.isTrue(all.every(({ adminKey }) => Secrets.isRight(adminKey)(Redacted.make(kept))))
      assert.isFalse(Secrets.isRight(Redacted.make(kept))(Redacted.make(`${kept}x`)))
    }))

  it.live("that are too short or cannot be read stop everything", () =>
    Effect.gen(function*() {
      const folder = yield* temporary
      const short = yield* Effect.flip(Secrets.load({ adminKey: Redacted.make("short") }))
      assert.match(short.message, /shorter than 32/)
      const peppers = yield* Effect.flip(Secrets.load({ peppers: [Redacted.make(secret), Redacted.make("short")] }))
      assert.strictEqual(peppers.reason, "Secret")
      const file = yield* Effect.flip(resolved(["--store", "memory", "--pepper-file", join(folder, "none")]))
      assert.match(file.message, /cannot be read/)
      assert.strictEqual(file.reason, "Secret")
    }))
})
