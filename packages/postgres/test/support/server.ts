/** A PostgreSQL server of one's own: started in a new folder on a free loopback port, gone when it is stopped. */
import type { ChildProcess } from "node:child_process"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import {
  accessSync,
  chownSync,
  constants,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { connect, createServer } from "node:net"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"

const isExecutable = (file: string): boolean => {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Where Debian keeps the binaries of each major version, newest first, and then wherever PATH says. */
const folders = (): ReadonlyArray<string> => {
  const debian = "/usr/lib/postgresql"
  let versions: ReadonlyArray<string> = []
  try {
    versions = readdirSync(debian).sort((a, b) => Number(b) - Number(a))
  } catch {
    // not a Debian machine
  }
  return [...versions.map((version) => join(debian, version, "bin")), ...(process.env.PATH ?? "").split(delimiter)]
}

/** The folder with the server's binaries, where there is one. */
export const binaries: string | undefined = folders().find((folder) =>
  isExecutable(join(folder, "initdb")) && isExecutable(join(folder, "postgres"))
)

/** PostgreSQL refuses to run as root: then it runs as the user its package made, or as nobody. */
const owner = (): { readonly uid: number; readonly gid: number } | undefined => {
  if (process.getuid?.() !== 0) return undefined
  const users = readFileSync("/etc/passwd", "utf8").split("\n").map((line) => line.split(":"))
  const user = users.find(([name]) => name === "postgres") ?? users.find(([name]) => name === "nobody")
  return user === undefined ? undefined : { uid: Number(user[2]), gid: Number(user[3]) }
}

/** Why no server can be started here, for tests to say so; `undefined` when one can. */
export const unavailable: string | undefined = binaries === undefined
  ? "no PostgreSQL here: `initdb` and `postgres` are neither under /usr/lib/postgresql nor in PATH"
  : undefined

/** A port nobody listens on. */
export const freePort = async (): Promise<number> => {
  const server = createServer()
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  await once(server, "close")
  if (address === null || typeof address === "string") throw new Error("a loopback port has a number")
  return address.port
}

const PASSWORD = "cycles-of-a-test"

/** A running server; `start` begins again on the same data after `stop` or `kill`. */
export interface Server {
  readonly port: number
  readonly folder: string
  /** The unix socket, which takes less of the processors than the loopback interface does. */
  readonly socket: string
  readonly password: string
  /** The address of a database, as its superuser. */
  readonly url: (database?: string) => string
  readonly start: () => Promise<void>
  /** Ends every session and writes everything down. */
  readonly stop: () => Promise<void>
  /** Ends as in a power failure: no process writes anything more. */
  readonly kill: () => Promise<void>
  /** Stops the server and removes its data. */
  readonly dispose: () => Promise<void>
}

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1")
    socket.once("connect", () => {
      socket.destroy()
      resolve(true)
    })
    socket.once("error", () => resolve(false))
  })

/**
 * Starts a server. Nothing is synced to the disk unless `durable` is set; a test of logic does not lose power. `settings` are
 * the server's own, such as `max_connections`.
 */
export const makeServer = async (
  options: { readonly durable?: boolean; readonly settings?: Readonly<Record<string, string>> } = {}
): Promise<Server> => {
  if (binaries === undefined) throw new Error(unavailable)
  const bin = binaries
  const as = owner()
  const folder = mkdtempSync(join(tmpdir(), "cycles-postgres-"))
  const secret = join(folder, "password")
  writeFileSync(secret, PASSWORD)
  if (as !== undefined) { for (const path of [folder, secret]) chownSync(path, as.uid, as.gid) }
  const data = join(folder, "data")
  const made = spawnSync(
    join(bin, "initdb"),
    `-D ${data} -U cycles --pwfile ${secret} --auth scram-sha-256 -E UTF8 --locale C --no-sync`.split(" "),
    { encoding: "utf8", cwd: folder, ...as }
  )
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr}`)

  const port = await freePort()
  const settings: Record<string, string> = {
    port: `${port}`,
    listen_addresses: "127.0.0.1",
    unix_socket_directories: folder,
    logging_collector: "off",
    ...(options.durable === true ? {} : { fsync: "off", full_page_writes: "off" }),
    ...options.settings
  }
  let child: ChildProcess | undefined
  let log = ""

  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const running = child
    if (running === undefined) return
    child = undefined
    const ended = once(running, "exit")
    running.kill(signal)
    await ended
  }
  // Whatever becomes of the tests, the server ends with them.
  const atExit = () => child?.kill("SIGQUIT")
  process.on("exit", atExit)

  const start = async (): Promise<void> => {
    const running = spawn(
      join(bin, "postgres"),
      ["-D", data, ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])],
      { cwd: folder, stdio: ["ignore", "ignore", "pipe"], ...as }
    )
    running.stderr?.on("data", (chunk: Buffer) => log = (log + chunk.toString()).slice(-20_000))
    child = running
    for (let i = 0; i < 600; i++) {
      if (log.includes("ready to accept connections") && await accepts(port)) return
      if (running.exitCode !== null) throw new Error(`the server did not start: ${log}`)
      await sleep(25)
    }
    throw new Error(`the server did not get ready: ${log}`)
  }

  const server: Server = {
    port,
    folder,
    socket: join(folder, `.s.PGSQL.${port}`),
    password: PASSWORD,
    url: (database = "postgres") => `postgresql://cycles:${PASSWORD}@127.0.0.1:${port}/${database}`,
    start: () => {
      log = ""
      return start()
    },
    stop: () => end("SIGINT"),
    kill: () => end("SIGQUIT"),
    dispose: async () => {
      await end("SIGINT")
      process.off("exit", atExit)
      rmSync(folder, { recursive: true, force: true })
    }
  }
  try {
    await server.start()
  } catch (error) {
    await server.dispose()
    throw error
  }
  return server
}
