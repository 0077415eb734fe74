/** A way to the server that can be cut at a chosen moment. */
import { once } from "node:events"
import type { Socket } from "node:net"
import { connect, createServer } from "node:net"

/**
 * What happens to the next thing that is sent to the server.
 *
 * - `pass`: it arrives, and so does its answer
 * - `loseAnswer`: it arrives and is answered; the answer is lost with the connection
 * - `loseRequest`: it never arrives; the connection is lost
 * - `stall`: it arrives, and nothing comes back for as long as the connection stands
 */
export type Mode = "pass" | "loseAnswer" | "loseRequest" | "stall"

export interface Proxy {
  readonly port: number
  /** Decides over the next request; the ones after it pass again. */
  readonly next: (mode: Mode) => void
  /** How many connections were made so far. */
  readonly connections: () => number
  /** How often the program sent something and waited. */
  readonly requests: () => number
  readonly close: () => Promise<void>
}

export const makeProxy = async (to: number): Promise<Proxy> => {
  let mode: Mode = "pass"
  let connections = 0
  let requests = 0
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    connections++
    const upstream = connect(to, "127.0.0.1")
    let losing = false
    let stalled = false
    let answered = true
    const end = () => {
      client.destroy()
      upstream.destroy()
      sockets.delete(client)
      sockets.delete(upstream)
    }
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on("close", end).on("error", end)
    }
    client.on("data", (chunk: Buffer) => {
      // What is long arrives in pieces.
      if (answered) requests++
      answered = false
      const how = mode
      mode = "pass"
      if (how === "loseRequest") return end()
      losing ||= how === "loseAnswer"
      stalled ||= how === "stall"
      upstream.write(chunk)
    })
    upstream.on("data", (chunk: Buffer) => {
      answered = true
      if (stalled) return
      // The server says Z, ready for the next statement, outside of any transaction, once the COMMIT is done.
      if (losing) return chunk.subarray(-6).equals(Buffer.from([0x5a, 0, 0, 0, 5, 0x49])) ? end() : undefined
      client.write(chunk)
    })
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("a loopback port has a number")
  return {
    port: address.port,
    next: (how) => {
      mode = how
    },
    connections: () => connections,
    requests: () => requests,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, "close")
    }
  }
}
