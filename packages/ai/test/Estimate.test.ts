import { Estimate } from "@effect-cycles/ai"
import { assert, describe, it } from "@effect/vitest"
import { Prompt, Tokenizer, Tool } from "effect/ai"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const request = (prompt: Prompt.RawInput, tools: ReadonlyArray<Tool.Any> = [], schema?: Schema.Top) => ({
  prompt: Prompt.make(prompt),
  tools,
  schema
})

const utf8 = (text: string) => new TextEncoder().encode(text).length

describe("Estimate", () => {
  it.effect.prop(
    "has no fewer tokens than the text has bytes, however it is written",
    [Arbitrary.schema(Schema.Array(Schema.String))],
    ([texts]) =>
      Effect.gen(function*() {
        const bound = yield* Estimate.inputBound(
          request(texts.map((text) => ({ role: "user" as const, content: [{ type: "text" as const, text }] })))
        )
        assert.isAtLeast(bound, texts.reduce((sum, text) => sum + utf8(text), 0))
      })
  )

  it("counts every byte of text, of four too, and of halves that stand alone", () => {
    for (const text of ["", "abc", "é", "語", "👍", "a👍b", "\ud800", "x\udc00y"]) {
      assert.isAtLeast(Estimate.textBound(text), utf8(text))
    }
    assert.strictEqual(Estimate.textBound("abcé"), 5)
  })

  it.effect("counts tools, what they are described by, and the schema of an answer", () =>
    Effect.gen(function*() {
      const tool = Tool.make("search", {
        description: "Finds what there is to be found. ".repeat(50),
        parameters: Schema.Struct({ query: Schema.String.annotate({ description: "what to look for" }) }),
        success: Schema.String
      })
      const plain = yield* Estimate.inputBound(request("Hello"))
      const withTool = yield* Estimate.inputBound(request("Hello", [tool]))
      assert.isAtLeast(withTool - plain, 50 * 33 + "what to look for".length)
      const asked = yield* Estimate.inputBound(
        request("Hello", [], Schema.Struct({ nameOfWhoeverItMayBe: Schema.String }))
      )
      assert.isAtLeast(asked - plain, "nameOfWhoeverItMayBe".length)
    }))

  it.effect("has no bound for files and tools of the provider that were not declared", () =>
    Effect.gen(function*() {
      const image = request([{
        role: "user",
        content: [{ type: "file", mediaType: "image/png", data: new Uint8Array(10_000) }]
      }])
      const file = yield* Effect.flip(Estimate.inputBound(image))
      assert.deepStrictEqual([file.what, file.detail], ["file", "image/png"])
      assert.include(file.message, "allowances: { file:")
      const bound = yield* Estimate.inputBound(image, { file: () => 2_000 })
      assert.isTrue(bound >= 2_000 && bound < 3_000)

      const search = Tool.providerDefined({
        id: "test.web_search",
        customName: "WebSearch",
        providerName: "web_search"
      })(undefined)
      const tool = yield* Effect.flip(Estimate.inputBound(request("Hello", [search])))
      assert.strictEqual(tool.what, "providerTool")
      assert.isAtLeast(
        yield* Estimate.inputBound(request("Hello", [search]), { providerTool: () => 50_000 }),
        50_000
      )
    }))

  it.effect("expects a quarter of the characters, or what a tokenizer says", () =>
    Effect.gen(function*() {
      const asked = request("x".repeat(4_000))
      const guessed = yield* Estimate.inputExpected(asked)
      assert.isTrue(guessed >= 1_000 && guessed < 1_100)
      const counted = Estimate.inputExpected(asked).pipe(
        Effect.provideService(
          Tokenizer.Tokenizer,
          Tokenizer.make({ tokenize: () => Effect.succeed(Array.from({ length: 123 }, (_, i) => i)) })
        )
      )
      assert.strictEqual(yield* counted, 123)
    }))
})
