/**
 * Where a command goes: to a server, or to the store itself. Both are asked by the same requests; for a store, the server's routes
 * answer them in this process, without a socket.
 *
 * @internal
 */
import * as Handlers from "@effect-cycles/http/Handlers"
import * as WireJson from "@effect-cycles/http/WireJson"
import * as Flag from "effect/cli/Flag"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { readFile } from "node:fs/promises"
import type { StoreSettings } from "../Config.ts"
import * as Configuration from "../Config.ts"
import { defaults } from "../defaults.ts"
import * as Server from "../Server.ts"
import type { StartupError } from "../StartupError.ts"
import * as Storage from "../Storage.ts"
import { CommandError, fromAnswer, usage } from "./CommandError.ts"

/** A request: `undefined` members of the query are left out. */
export interface Request {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE"
  readonly path: string
  readonly query?: { readonly [name: string]: string | number | boolean | undefined } | undefined
  readonly body?: unknown
}

/**
 * An authority that can be asked.
 *
 * - `place`: what it is called in messages
 * - `url`: where its clients find it
 * - `isLocal`: whether it is a store that this process opened
 * - `isOperator`: whether it is asked with the admin key
 */
export interface Operations {
  readonly place: string
  readonly url: string
  readonly isLocal: boolean
  readonly isOperator: boolean
  readonly call: (request: Request) => Effect.Effect<unknown, CommandError>
}

export class Connection extends Context.Service<Connection, Operations>()("@effect-cycles/server/cli/Connection") {}

/** The flags that say where a command goes. */
export const flags = {
  url: Flag.String("url").pipe(
    Flag.withFallbackConfig(Config.String("CYCLES_BASE_URL")),
    Flag.withMetavar("URL"),
    Flag.withDescription("The server to ask; the store itself is worked on when none is given [CYCLES_BASE_URL]"),
    Flag.optional
  ),
  local: Flag.Boolean("local").pipe(
    Flag.withDescription("Work on the store itself, also where CYCLES_BASE_URL is set"),
    Flag.withDefault(false)
  ),
  adminKey: Flag.Redacted("admin-key").pipe(
    Flag.withFallbackConfig(Config.Redacted("CYCLES_ADMIN_API_KEY")),
    Flag.withMetavar("KEY"),
    Flag.withDescription("The admin key; the variable keeps it out of the list of processes [CYCLES_ADMIN_API_KEY]"),
    Flag.optional
  ),
  apiKey: Flag.Redacted("api-key").pipe(
    Flag.withFallbackConfig(Config.Redacted("CYCLES_API_KEY")),
    Flag.withMetavar("KEY"),
    Flag.withDescription("A tenant's key, used where there is no admin key [CYCLES_API_KEY]"),
    Flag.optional
  ),
  ...Configuration.storeFlags
}

export interface Settings extends StoreSettings {
  readonly url: Option.Option<string>
  readonly local: boolean
  readonly adminKey: Option.Option<Redacted.Redacted<string>>
  readonly apiKey: Option.Option<Redacted.Redacted<string>>
}

const searchOf = (query: Request["query"]): string => {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query ?? {})) if (value !== undefined) search.append(name, String(value))
  const text = search.toString()
  return text === "" ? "" : `?${text}`
}

const unreachable = (text: string, next: string): CommandError =>
  new CommandError({ reason: "Unreachable", text, next })

/** What went wrong below, in words and without the request, which holds a key. */
const wordsOf = (error: unknown): string => {
  const words: Array<string> = []
  let cause: unknown = error
  for (let depth = 0; depth < 6 && typeof cause === "object" && cause !== null; depth++) {
    if ("code" in cause && typeof cause.code === "string") words.push(cause.code)
    cause = "cause" in cause ? cause.cause : "reason" in cause ? cause.reason : undefined
  }
  return words.length === 0 ? "" : ` (${words.join(", ")})`
}

const callOver = (
  http: HttpClient.HttpClient,
  baseUrl: string,
  headers: { readonly [name: string]: string }
): Operations["call"] =>
(request) =>
  Effect.gen(function*() {
    const { body, method, path, query } = request
    const response = yield* http.execute(
      HttpClientRequest.make(method)(`${baseUrl}${path}${searchOf(query)}`, {
        headers: { accept: "application/json", ...headers },
        ...(body === undefined ? undefined : { body: HttpBody.text(WireJson.stringify(body), "application/json") })
      })
    )
    const text = yield* response.text
    const parsed = WireJson.parse(text)
    if (response.status < 200 || response.status > 299) {
      return yield* fromAnswer(response.status, Result.isSuccess(parsed) ? parsed.success : undefined)
    }
    if (Result.isSuccess(parsed)) return parsed.success
    return yield* unreachable(`${baseUrl} did not answer with JSON`, "Is this the address of a Cycles server?")
  }).pipe(
    Effect.timeoutOrElse({
      duration: "30 seconds",
      orElse: () => Effect.fail(unreachable(`${baseUrl} did not answer within 30 seconds`, "Try again in a moment"))
    }),
    Effect.catchTag("HttpClientError", (error) =>
      Effect.fail(
        unreachable(
          `${baseUrl} cannot be reached${wordsOf(error)}`,
          "Start a server there with cycles serve, or name another by --url"
        )
      )),
    Effect.provideService(HttpClient.TracerDisabledWhen, () => true)
  )

export const isUrl = (text: string): boolean => {
  try {
    const { protocol } = new URL(text)
    return protocol === "http:" || protocol === "https:"
  } catch {
    return false
  }
}

/** An HTTP client whose requests the server's routes answer in this process. */
const inProcess = Effect.fnUntraced(function*(
  { secrets, storage }: Configuration.Resolved
): Effect.fn.Return<HttpClient.HttpClient, StartupError, Scope.Scope> {
  const services = yield* Layer.build(Storage.layer(storage))
  const { dispose, handler } = HttpRouter.toWebHandler(
    Server.routes({ adminKey: secrets.adminKey }).pipe(Layer.provide(Layer.succeedContext(services))),
    { routerConfig: Handlers.routerConfig, disableLogger: true }
  )
  yield* Effect.addFinalizer(() => Effect.promise(dispose))
  const fetch: typeof globalThis.fetch = (input, init) => handler(new Request(input, init))
  const client = yield* Layer.build(
    FetchHttpClient.layer.pipe(Layer.provide(Layer.succeed(FetchHttpClient.Fetch, fetch)))
  )
  return Context.get(client, HttpClient.HttpClient)
})

const adminKeyIn = (
  file: Option.Option<string>
): Effect.Effect<Option.Option<Redacted.Redacted<string>>, CommandError> =>
  Option.isNone(file) ? Effect.succeedNone : Effect.tryPromise({
    try: async () => Option.some(Redacted.make((await readFile(file.value, "utf8")).trim())),
    catch: () => usage(`The admin key in ${file.value} cannot be read`, "Check that the file exists and may be read")
  })

const credential = (
  adminKey: Option.Option<Redacted.Redacted<string>>,
  apiKey: Option.Option<Redacted.Redacted<string>>
): { readonly [name: string]: string } | undefined => {
  if (Option.isSome(adminKey)) return { "x-admin-api-key": Redacted.value(adminKey.value) }
  return Option.isSome(apiKey) ? { "x-cycles-api-key": Redacted.value(apiKey.value) } : undefined
}

/** Opens the way the settings say. A store is closed again with the scope. */
export const open = Effect.fnUntraced(
  function*(settings: Settings): Effect.fn.Return<Operations, CommandError | StartupError, Scope.Scope> {
    const { adminKey, apiKey, local } = settings
    const url = local ? Option.none<string>() : settings.url
    if (Option.isSome(url)) {
      if (!isUrl(url.value)) {
        return yield* usage(`--url ${url.value} is not an address`, "Give one like http://127.0.0.1:7878")
      }
      const baseUrl = url.value.replace(/\/+$/, "")
      const headers = credential(
        Option.isSome(adminKey) ? adminKey : yield* adminKeyIn(settings.adminApiKeyFile),
        apiKey
      )
      if (headers === undefined) {
        return yield* new CommandError({
          reason: "Unauthorized",
          text: `${baseUrl} needs a key`,
          next: "Give the admin key by CYCLES_ADMIN_API_KEY, or a tenant's by CYCLES_API_KEY"
        })
      }
      const client = yield* Layer.build(FetchHttpClient.layer)
      const call = callOver(Context.get(client, HttpClient.HttpClient), baseUrl, headers)
      return { place: baseUrl, url: baseUrl, isLocal: false, isOperator: "x-admin-api-key" in headers, call }
    }
    const resolved = yield* Configuration.resolveStore(settings)
    // Whoever may open the store may do everything in it; a tenant's key alone says that no more is wanted.
    const headers = credential(
      Option.isSome(apiKey) && Option.isNone(adminKey) ? adminKey : Option.some(resolved.secrets.adminKey),
      apiKey
    ) ?? {}
    const http = yield* inProcess(resolved)
    return {
      place: `the ${settings.store} store`,
      url: `http://127.0.0.1:${defaults.port}`,
      isLocal: true,
      isOperator: "x-admin-api-key" in headers,
      call: callOver(http, "http://localhost", headers)
    }
  }
)
