/**
 * The endpoints of providers: the real one where the environment has a key for it, else a stand-in on 127.0.0.1 that speaks as it does.
 * The stand-in has one answer, in words that count as a token each, and repeats it when it is asked for a story.
 */
import { once } from "node:events"
import type { IncomingMessage, ServerResponse } from "node:http"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { text } from "node:stream/consumers"

export interface Endpoint extends AsyncDisposable {
  readonly apiKey: string
  readonly baseURL: string
}

interface Asked {
  readonly stream?: boolean
  readonly model: string
  readonly messages: ReadonlyArray<{ readonly content: string | ReadonlyArray<{ readonly text: string }> }>
  readonly max_tokens?: number
  readonly max_completion_tokens?: number
}

const answer = ["Budgets", "are", "asked", "first."]

const wordsOf = (asked: Asked) => {
  const prompt = asked.messages
    .map(({ content }) => typeof content === "string" ? content : content.map((part) => part.text).join(" "))
    .join(" ")
  const times = prompt.includes("story") ? 100 : 1
  const maximum = asked.max_completion_tokens ?? asked.max_tokens
  return {
    input: prompt.split(/\s+/).length,
    words: Array.from({ length: times }, () => answer).flat().slice(0, maximum)
      .map((word, i) => i === 0 ? word : ` ${word}`)
  }
}

/** Server-sent events, a few milliseconds apart, until the client goes away. */
const send = async (response: ServerResponse, events: ReadonlyArray<Record<string, unknown> | string>) => {
  response.writeHead(200, { "content-type": "text/event-stream" })
  for (const event of events) {
    if (response.destroyed) return
    const name = typeof event === "object" && "type" in event ? `event: ${event["type"]}\n` : ""
    response.write(`${name}data: ${typeof event === "string" ? event : JSON.stringify(event)}\n\n`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  response.end()
}

const json = (response: ServerResponse, body: unknown) => {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body))
}

const chatCompletions = (asked: Asked, response: ServerResponse) => {
  const { input, words } = wordsOf(asked)
  const usage = { prompt_tokens: input, completion_tokens: words.length, total_tokens: input + words.length }
  const common = { id: "chatcmpl-1", created: 0, model: asked.model }
  if (asked.stream !== true) {
    const message = { role: "assistant", content: words.join("") }
    return json(response, {
      ...common,
      object: "chat.completion",
      choices: [{ index: 0, message, finish_reason: "stop" }],
      usage
    })
  }
  const chunk = { ...common, object: "chat.completion.chunk" }
  return send(response, [
    ...words.map((content) => ({
      ...chunk,
      choices: [{ index: 0, delta: { role: "assistant", content }, finish_reason: null }]
    })),
    { ...chunk, choices: [{ index: 0, delta: {}, finish_reason: "stop" }] },
    { ...chunk, choices: [], usage },
    "[DONE]"
  ])
}

const messages = (asked: Asked, response: ServerResponse) => {
  const { input, words } = wordsOf(asked)
  const usage = { input_tokens: input, cache_read_input_tokens: 0, cache_creation_input_tokens: 0, output_tokens: 0 }
  const message = { id: "msg_1", type: "message", role: "assistant", model: asked.model, stop_sequence: null }
  if (asked.stream !== true) {
    return json(response, {
      ...message,
      content: [{ type: "text", text: words.join("") }],
      stop_reason: "end_turn",
      usage: { ...usage, output_tokens: words.length }
    })
  }
  return send(response, [
    { type: "message_start", message: { ...message, content: [], stop_reason: null, usage } },
    { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
    ...words.map((text) => ({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } })),
    { type: "content_block_stop", index: 0 },
    { type: "message_delta", delta: { stop_reason: "end_turn" }, usage: { output_tokens: words.length } },
    { type: "message_stop" }
  ])
}

const reply = async (request: IncomingMessage, response: ServerResponse) => {
  const asked: Asked = JSON.parse(await text(request))
  if (request.url === "/v1/chat/completions") return chatCompletions(asked, response)
  if (request.url === "/v1/messages") return messages(asked, response)
  response.writeHead(404).end()
}

const endpoint = async (key: string, real: string, path: string): Promise<Endpoint> => {
  const apiKey = process.env[key]
  if (apiKey !== undefined && apiKey !== "") {
    return { apiKey, baseURL: real, [Symbol.asyncDispose]: async () => {} }
  }
  const server = createServer((request, response) => {
    reply(request, response).catch((error: unknown) => response.destroy(error as Error))
  }).listen(0, "127.0.0.1")
  await once(server, "listening")
  return {
    apiKey: "none",
    baseURL: `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, "close")
    }
  }
}

export const openai = () => endpoint("OPENAI_API_KEY", "https://api.openai.com/v1", "/v1")

export const anthropic = () => endpoint("ANTHROPIC_API_KEY", "https://api.anthropic.com", "")
