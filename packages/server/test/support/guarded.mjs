// A small MCP server for tests to put behind a budget. It counts what it was really asked to do.
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js"
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js"
import { z } from "zod"

const server = new McpServer({ name: "mail", version: "1.0.0" }, { instructions: "Mail for tests." })
const text = (text) => ({ content: [{ type: "text", text }] })
let sent = 0

server.registerTool("send_mail", { description: "Sends a mail", inputSchema: { to: z.string() } }, ({ to }) => {
  sent++
  return to === "nobody" ? { ...text("no such address"), isError: true } : text(`sent to ${to}`)
})
server.registerTool("count", {
  description: "How many mails were sent",
  outputSchema: { sent: z.number() },
  annotations: { readOnlyHint: true }
}, () => ({ ...text(String(sent)), structuredContent: { sent } }))
server.registerTool(
  "environment",
  { description: "The names of its variables" },
  () => text(Object.keys(process.env).join(" "))
)
server.registerResource("inbox", "mail://inbox", {}, (uri) => ({ contents: [{ uri: uri.href, text: "empty" }] }))
server.registerPrompt("greet", { argsSchema: { name: z.string() } }, ({ name }) => ({
  messages: [{ role: "user", content: { type: "text", text: `Greet ${name}` } }]
}))
process.stderr.write("mail is up\n")
await server.connect(new StdioServerTransport())
