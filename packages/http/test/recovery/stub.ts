/**
 * A server that goes wrong on purpose. It records every request, keeps books of its own, and answers what the contract has
 * unless it was told to do otherwise.
 */
import { EventReply, EventRequest } from "effect-cycles/protocol/Event"
import { ExtendReply, ExtendRequest } from "effect-cycles/protocol/Extend"
import { ReserveReply, ReserveRequest } from "effect-cycles/protocol/Reserve"
import { CommitReply, CommitRequest, ReleaseReply, ReleaseRequest } from "effect-cycles/protocol/Settle"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ServerResponse } from "node:http"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

export type Operation = "reserve" | "commit" | "release" | "extend" | "event"

export interface Answer {
  readonly status: number
  readonly body: string
  readonly headers?: { readonly [name: string]: string }
}

/** One request, in the words of the wire. */
export interface Received {
  readonly operation: Operation
  /** The one in the path, or the one an event says it recovers. */
  readonly reservationId: string
  readonly key: string
  readonly apiKey: string
  readonly body: { readonly [name: string]: unknown }
  readonly atMs: number
}

/** What was charged, for whatever reason: the books of the server. */
export interface Charge {
  readonly reservationId: string
  readonly by: "commit" | "event"
  readonly key: string
  readonly amount: number
}

export interface Exchange {
  readonly received: Received
  /** Does what is asked, once for each key, and gives the answer of the contract. */
  readonly perform: () => Answer
  readonly answer: (answer: Answer) => void
  /** Cuts the connection. */
  readonly drop: () => void
}

/** What happens to one request in the place of its answer. One that neither answers nor drops leaves the client waiting. */
export type Fault = (exchange: Exchange) => void | Promise<void>

export const json = (status: number, body: unknown, headers?: Answer["headers"]): Answer => ({
  status,
  body: JSON.stringify(body),
  headers: { "content-type": "application/json", ...headers }
})

export const failure = (status: number, code: string, headers?: Answer["headers"]): Answer =>
  json(status, { error: code, message: code, request_id: "r-1" }, headers)

/** It was done; nobody is told. */
export const replyLost: Fault = ({ drop, perform }) => {
  perform()
  drop()
}

/** It was not done. */
export const connectionLost: Fault = ({ drop }) => drop()

/** It was done; the answer never comes. */
export const doneInSilence: Fault = ({ perform }) => void perform()

/** It was not done, and no answer ever comes. */
export const silence: Fault = () => {}

export const answers = (answer: Answer): Fault => (exchange) => exchange.answer(answer)

export const expired: Fault = answers(failure(410, "RESERVATION_EXPIRED"))

const fits = <A, I>(schema: Schema.Codec<A, I>) => {
  const decode = Schema.decodeUnknownResult(schema)
  return (body: unknown): boolean => Result.isSuccess(decode(body))
}

/** Whether a request is what the contract says. */
const isValid: { readonly [O in Operation]: (body: unknown) => boolean } = {
  reserve: fits(ReserveRequest),
  commit: fits(CommitRequest),
  release: fits(ReleaseRequest),
  extend: fits(ExtendRequest),
  event: fits(EventRequest)
}

/** A valid answer, in wire form; throws where it is none. */
const valid = <A, I>(schema: Schema.Codec<A, I>, status: number, wire: unknown): Answer => {
  Schema.decodeUnknownSync(schema)(wire)
  return json(status, wire)
}

const route = (url: string): { readonly operation: Operation; readonly reservationId: string } | undefined => {
  if (url === "/v1/reservations") return { operation: "reserve", reservationId: "" }
  if (url === "/v1/events") return { operation: "event", reservationId: "" }
  const [, id, operation] = /^\/v1\/reservations\/([^/]+)\/(commit|release|extend)$/.exec(url) ?? []
  // The pattern has no other word.
  return id === undefined ? undefined : { operation: operation as Operation, reservationId: decodeURIComponent(id) }
}

const isRecord = (value: unknown): value is { readonly [name: string]: unknown } =>
  typeof value === "object" && value !== null

/** Where an amount or a name is in a body that was checked against the contract. */
const at = (value: unknown, ...path: ReadonlyArray<string>): unknown =>
  path.reduce((value, name) => isRecord(value) ? value[name] : undefined, value)

export interface Stub {
  readonly url: string
  readonly received: ReadonlyArray<Received>
  readonly charges: ReadonlyArray<Charge>
  /** Requests that are not what the contract says. */
  readonly flaws: ReadonlyArray<string>
  /** The API keys it knows; every key where there are none. */
  readonly apiKeys: Set<string>
  /** What happens to the next requests of an operation, one after the other. */
  readonly fail: (operation: Operation, ...faults: ReadonlyArray<Fault>) => void
  readonly of: (...operations: ReadonlyArray<Operation>) => ReadonlyArray<Received>
}

/** Starts a server on the loopback interface; the end of the scope cuts its connections. */
export const make = Effect.acquireRelease(
  Effect.promise(async () => {
    const received: Array<Received> = []
    const charges: Array<Charge> = []
    const flaws: Array<string> = []
    const apiKeys = new Set<string>()
    const faults = new Map<Operation, Array<Fault>>()
    /** Answers by operation and key: a repetition gets the first one again. */
    const given = new Map<string, Answer>()
    /** What became of each reservation. */
    const ended = new Map<string, string>()
    let reservations = 0

    const settle = (by: Charge["by"], { body, key, reservationId }: Received): unknown => {
      charges.push({ reservationId, by, key, amount: Number(at(body, "actual", "amount")) })
      return at(body, "actual")
    }

    const first = (request: Received): Answer => {
      const { body, operation, reservationId } = request
      switch (operation) {
        case "reserve": {
          const ttlMs = Number(body["ttl_ms"] ?? 60_000)
          return valid(ReserveReply, 200, {
            decision: "ALLOW",
            reservation_id: `rsv-${++reservations}`,
            reserved: body["estimate"],
            expires_at_ms: Date.now() + ttlMs,
            remaining_ttl_ms: ttlMs,
            affected_scopes: ["tenant:acme"]
          })
        }
        case "extend": {
          const ttlMs = Number(body["extend_by_ms"])
          return valid(ExtendReply, 200, {
            status: "ACTIVE",
            expires_at_ms: Date.now() + ttlMs,
            remaining_ttl_ms: ttlMs
          })
        }
        case "release": {
          if (ended.has(reservationId)) return failure(409, "RESERVATION_FINALIZED")
          ended.set(reservationId, "RELEASED")
          return valid(ReleaseReply, 200, { status: "RELEASED", released: { unit: "TOKENS", amount: 0 } })
        }
        case "commit": {
          if (ended.has(reservationId)) return failure(409, "RESERVATION_FINALIZED")
          ended.set(reservationId, "COMMITTED")
          return valid(CommitReply, 200, { status: "COMMITTED", charged: settle("commit", request) })
        }
        case "event":
          return valid(EventReply, 201, {
            status: "APPLIED",
            event_id: `evt-${charges.length + 1}`,
            charged: settle("event", request)
          })
      }
    }

    const perform = (request: Received): Answer => {
      const name = `${request.operation} ${request.reservationId} ${request.key}`
      const answer = given.get(name) ?? first(request)
      if (answer.status < 300) given.set(name, answer)
      return answer
    }

    const send = (response: ServerResponse, { body, headers, status }: Answer): void => {
      response.writeHead(status, headers)
      response.end(body)
    }

    const server = createServer((incoming, response) => {
      const chunks: Array<Buffer> = []
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk))
      incoming.on("end", () => {
        const found = incoming.method === "POST" ? route(incoming.url ?? "") : undefined
        const body: unknown = JSON.parse(Buffer.concat(chunks).toString() || "null")
        if (found === undefined || !isRecord(body) || !isValid[found.operation](body)) {
          flaws.push(`${incoming.method} ${incoming.url}: ${Buffer.concat(chunks).toString()}`)
          return send(response, failure(400, "INVALID_REQUEST"))
        }
        const recovered = at(body, "metadata", "recovered_reservation_id")
        const request: Received = {
          operation: found.operation,
          reservationId: found.operation === "event" ? String(recovered) : found.reservationId,
          key: String(body["idempotency_key"]),
          apiKey: String(incoming.headers["x-cycles-api-key"]),
          body,
          atMs: Date.now()
        }
        received.push(request)
        if (incoming.headers["x-idempotency-key"] !== request.key) {
          flaws.push(`header and body of ${request.key} differ`)
        }
        if (apiKeys.size > 0 && !apiKeys.has(request.apiKey)) return send(response, failure(401, "UNAUTHORIZED"))
        const fault = faults.get(request.operation)?.shift()
        if (fault === undefined) return send(response, perform(request))
        void fault({
          received: request,
          perform: () => perform(request),
          answer: (answer) => send(response, answer),
          drop: () => void incoming.socket.destroy()
        })
      })
    })
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening))
    const stub: Stub = {
      // A server that listens on a port has an address with one.
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      received,
      charges,
      flaws,
      apiKeys,
      fail: (operation, ...more) => void faults.set(operation, [...(faults.get(operation) ?? []), ...more]),
      of: (...operations) => received.filter(({ operation }) => operations.includes(operation))
    }
    return { server, stub }
  }),
  ({ server }) =>
    Effect.promise(() =>
      new Promise<void>((closed) => {
        server.close(() => closed())
        server.closeAllConnections()
      })
    )
).pipe(Effect.map(({ stub }) => stub))
