/** Servers in processes of their own, and `wrk`, which is another, to put a load on them. */
import type { ChildProcess } from "node:child_process"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import type { Address } from "./beds.ts"

/** Why there is no load here, where there is none. */
export const unavailable: string | undefined = spawnSync("wrk", ["-v"]).error === undefined
  ? undefined
  : "there is no wrk in PATH (Debian: apt-get install wrk)"

const pathOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

// This is run from where it was compiled to; a script is not compiled.
const script = pathOf("../../../support/cycle.lua")
const echoProgram = pathOf("echo.js")
const serverProgram = pathOf("../../../../packages/server/dist/main.js")

/** How many tenants a load on budgets of their own is spread over. */
export const TENANTS = 64

const secret = "only-for-a-benchmark-and-long-enough"

/** A process that answers requests. */
export interface Target {
  readonly url: string
  /** From when it was started until it said that it was ready. */
  readonly readyMs: number
  /** What `wrk` signs requests with, `tenant-0` first. */
  readonly keys: ReadonlyArray<string>
  /** Time it spent on a processor so far. */
  readonly cpuUs: () => number
  readonly residentBytes: () => number
  readonly stop: () => Promise<void>
}

/** Ticks of the kernel, a hundred a second on every Linux there is. */
const TICK_US = 10_000

const cpuUsOf = (pid: number): number => {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
  // The second field is a name in parentheses; user and system time are the 14th and 15th.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return (Number(fields[11]) + Number(fields[12])) * TICK_US
}

const residentBytesOf = (pid: number): number => {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? []
  return Number(kilobytes) * 1_024
}

const ready = async (url: string): Promise<void> => {
  for (;;) {
    const response = await fetch(`${url}/health/ready`)
    await response.text()
    if (response.ok) return
    await sleep(5)
  }
}

const start = async (
  args: ReadonlyArray<string>,
  profile: string | undefined,
  isReady: (url: string) => Promise<void>
): Promise<Omit<Target, "keys">> => {
  const startedAt = performance.now()
  const child: ChildProcess = spawn(
    process.execPath,
    [...(profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profile}`]), ...args],
    {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, CYCLES_ADMIN_API_KEY: secret, CYCLES_PEPPERS: secret }
    }
  )
  // Whatever becomes of the benchmark, the server ends with it.
  const atExit = (): void => void child.kill("SIGKILL")
  process.on("exit", atExit)
  const ended = once(child, "exit")
  const lines = createInterface({ input: child.stdout! })
  let url: string | undefined
  while (url === undefined) {
    const [line] = await Promise.race([
      once(lines, "line"),
      ended.then(() => {
        throw new Error("a server of the benchmark ended before it was ready")
      })
    ]) as ReadonlyArray<string>
    url = /http:\/\/[\d.]+:\d+/.exec(line ?? "")?.[0]
  }
  await isReady(url)
  const readyMs = performance.now() - startedAt
  const pid = child.pid!
  return {
    url,
    readyMs,
    cpuUs: () => cpuUsOf(pid),
    residentBytes: () => residentBytesOf(pid),
    stop: async () => {
      child.kill("SIGTERM")
      await ended
      process.off("exit", atExit)
    }
  }
}

/** What only answers: by `node:http` alone, or by `HttpApi`. */
export const echo = async (kind: "node" | "api", profile?: string): Promise<Target> => ({
  ...await start([echoProgram, kind], profile, () => Promise.resolve()),
  keys: Array.from({ length: TENANTS }, () => "cyc_live_bench")
})

const flagsOf = (address: Address): ReadonlyArray<string> => {
  switch (address._tag) {
    case "memory":
      return ["--store", "memory"]
    case "sqlite":
      return ["--store", "sqlite", "--data-dir", address.folder, "--synchronous", address.synchronous]
    case "postgres":
      return ["--store", "postgres", "--database-url", address.url, "--database-schema", address.schema]
  }
}

const ask = async (url: string, path: string, body: object): Promise<string> => {
  const response = await fetch(`${url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-admin-api-key": secret },
    body: JSON.stringify(body)
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`${path}: ${text}`)
  return text
}

/** `cycles serve` over a store. */
export const serve = async (address: Address, profile?: string): Promise<Target> => ({
  ...await start(
    [serverProgram, "serve", "--port", "0", "--rate-limit", "0", "--log-level", "error", ...flagsOf(address)],
    profile,
    ready
  ),
  keys: []
})

/** Opens a budget for each tenant, and gives their keys. */
export const open = async (url: string): Promise<ReadonlyArray<string>> => {
  const keys: Array<string> = []
  for (let i = 0; i < TENANTS; i++) {
    const tenant_id = `tenant-${i}`
    await ask(url, "/v1/admin/tenants", { tenant_id, name: tenant_id })
    await ask(url, "/v1/admin/budgets", {
      tenant_id,
      scope: `tenant:${tenant_id}`,
      unit: "TOKENS",
      allocated: { unit: "TOKENS", amount: Number.MAX_SAFE_INTEGER }
    })
    const [, key] = /"key_secret":"([^"]+)"/.exec(
      await ask(url, "/v1/admin/api-keys", { tenant_id, name: "bench" })
    ) ?? []
    keys.push(key ?? "")
  }
  return keys
}

export interface Outcome {
  /** Requests, of which one half are reserves and the other commits. */
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Of the server, a request. */
  readonly cpuUs: number
}

interface Summary {
  readonly requests: number
  readonly us: number
  readonly p50Us: number
  readonly p99Us: number
  readonly errors: number
}

let loads = 0

/** Puts a load on a server for a while: on one tenant's budget, or on one for each of many tenants. */
export const load = async (
  { cpuUs, keys, url }: Target,
  connections: number,
  tenants: number,
  seconds: number
): Promise<Outcome> => {
  const before = cpuUs()
  const child = spawn(
    "wrk",
    `--threads 1 --connections ${connections} --duration ${seconds}s --timeout 10s --script`.split(" ").concat(
      script,
      url,
      "--",
      `bench-${process.pid}-${loads++}`,
      keys.slice(0, tenants)
    ),
    { stdio: ["ignore", "pipe", "inherit"] }
  )
  let output = ""
  child.stdout.on("data", (chunk: Buffer) => output += chunk.toString())
  await once(child, "close")
  const line = output.split("\n").findLast((line) => line.startsWith("{"))
  if (line === undefined) throw new Error(`wrk said nothing of its load: ${output}`)
  const { errors, p50Us, p99Us, requests, us } = JSON.parse(line) as Summary
  if (errors > 0) throw new Error(`${errors} of ${requests} requests were not answered with 200`)
  return {
    perSecond: requests / us * 1e6,
    p50Ms: p50Us / 1e3,
    p99Ms: p99Us / 1e3,
    cpuUs: (cpuUs() - before) / requests
  }
}
