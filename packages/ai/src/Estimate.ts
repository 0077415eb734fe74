/**
 * How many tokens a model call can use at most, and how many it probably will.
 *
 * The bound holds by construction: a token of text stands for at least one byte, so a request has no more tokens than its rendering
 * has bytes, plus what the provider wraps around it. Images and files have no such bound; it has to be declared.
 *
 * **Example** (A bound and a guess)
 *
 * ```ts
 * import { Estimate } from "@effect-cycles/ai"
 * import { Effect } from "effect"
 * import { Prompt } from "effect/ai"
 *
 * const request = { prompt: Prompt.make("What is the capital of France?"), tools: [], schema: undefined }
 *
 * const program = Effect.gen(function*() {
 *   return [yield* Estimate.inputBound(request), yield* Estimate.inputExpected(request)]
 * })
 *
 * console.log(await Effect.runPromise(program)) // => [ 216, 30 ]
 * ```
 *
 * @since 0.1.0
 */
import { toCodecAnthropic } from "effect/ai/AnthropicStructuredOutput"
import * as LanguageModel from "effect/ai/LanguageModel"
import { toCodecOpenAI } from "effect/ai/OpenAiStructuredOutput"
import type * as Prompt from "effect/ai/Prompt"
import * as Tokenizer from "effect/ai/Tokenizer"
import * as Tool from "effect/ai/Tool"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/**
 * What is sent to a model, as far as it counts as input.
 *
 * - `schema`: that of the answer, where the model is asked for an object
 *
 * @category models
 * @since 0.1.0
 */
export interface ModelRequest {
  readonly prompt: Prompt.Prompt
  readonly tools: ReadonlyArray<Tool.Any>
  readonly schema: Schema.Top | undefined
}

/**
 * What cannot be read from a request, in tokens.
 *
 * - `perRequest`: what a provider adds to each request; 64 when not given
 * - `perMessage`: what it adds to each message and each of its parts, as role marks; 16 when not given
 * - `withTools`: what it adds where there are tools: the instructions for using them; 1,024 when not given
 * - `file`: the most a file or image of the prompt counts for, or `undefined` where that is not known; not known when not given
 * - `providerTool`: the most a tool that the provider runs itself, as a web search, adds to the input; not known when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface Allowances {
  readonly perRequest?: number | undefined
  readonly perMessage?: number | undefined
  readonly withTools?: number | undefined
  readonly file?: ((file: Prompt.FilePart) => number | undefined) | undefined
  readonly providerTool?: ((tool: Tool.Any) => number | undefined) | undefined
}

/**
 * A request whose cost has no bound that is known. `what` is what lacks one; the message says how to declare it.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unbounded extends Schema.TaggedError<Unbounded>()("Unbounded", {
  what: Schema.Literals(["file", "providerTool", "output"]),
  detail: Schema.String
}) {
  override get message(): string {
    switch (this.what) {
      case "file":
        return `How many tokens a file of the prompt counts for is not known (${this.detail}). ` +
          "Declare it: allowances: { file: (part) => 2_000 }"
      case "providerTool":
        return `How much input a tool that the provider runs adds is not known (${this.detail}). ` +
          "Declare it: allowances: { providerTool: (tool) => 50_000 }"
      case "output":
        return `How long an answer can be is not known (${this.detail}). Declare it: maxOutputTokens`
    }
  }
}

const json = Schema.encodeUnknownOption(Schema.fromJsonString(Schema.Unknown))

/** The text of a value as JSON; what JSON cannot say is not sent either. */
const render = (value: unknown): string => {
  const text = Option.getOrUndefined(json(value))
  return typeof text === "string" ? text : ""
}

/**
 * The most tokens a piece of text can be: its length in bytes.
 *
 * @category estimates
 * @since 0.1.0
 */
export const textBound = (text: string): number => {
  let bytes = 0
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    // Either half of a pair counts two of its four bytes, and three where it stands alone, as it is replaced then.
    bytes += unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3
  }
  return bytes
}

const isFile = (part: { readonly type: string }): part is Prompt.FilePart => part.type === "file"

/** The files of a prompt, those in results of tools included, and the text of everything else, message by message. */
const partsOf = (prompt: Prompt.Prompt) => {
  const files: Array<Prompt.FilePart> = []
  const withoutFiles = (part: Prompt.Part): unknown => {
    if (isFile(part)) {
      files.push(part)
      return { type: "file", mediaType: part.mediaType, fileName: part.fileName }
    }
    if (part.type !== "tool-result" || part.modelOutput === undefined) return part
    return {
      ...part,
      modelOutput: part.modelOutput.map((output) => isFile(output) ? withoutFiles(output) : output)
    }
  }
  let count = 0
  const texts = prompt.content.map((message) => {
    count++
    if (typeof message.content === "string") return render(message.content)
    count += message.content.length
    return render(message.content.map(withoutFiles))
  })
  return { files, texts, count }
}

/** How schemas are written for providers; which of these a provider uses is not known. */
const transformers = [undefined, LanguageModel.defaultCodecTransformer, toCodecOpenAI, toCodecAnthropic]

/** The longest of what a schema can be sent as. A rendering that fails is not sent: the provider's package fails of it as well. */
const longest = (rendering: (transformer: LanguageModel.CodecTransformer | undefined) => string): string =>
  transformers.reduce((found, transformer) => {
    const text = Option.getOrElse(Option.liftThrowable(rendering)(transformer), () => "")
    return textBound(text) > textBound(found) ? text : found
  }, "")

/** Rendering a schema takes longer than all else there is to an estimate, and neither schemas nor tools change. */
const remembered = <A extends object>(render: (of: A) => string): (of: A) => string => {
  const texts = new WeakMap<A, string>()
  return (of) => {
    const found = texts.get(of)
    if (found !== undefined) return found
    const text = render(of)
    texts.set(of, text)
    return text
  }
}

const textOfTool = remembered((tool: Tool.Any) =>
  Tool.isProviderDefined(tool)
    ? render({ name: tool.name })
    : longest((transformer) =>
      render({
        name: tool.name,
        description: Tool.getDescription(tool),
        parameters: Tool.getJsonSchema(tool, transformer === undefined ? undefined : { transformer })
      })
    )
)

const textOfAnswer = remembered((schema: Schema.Top) =>
  longest((transformer) =>
    render(transformer === undefined ? Schema.toJsonSchemaDocument(schema) : transformer(schema).jsonSchema)
  )
)

const textOfSchema = (schema: Schema.Top | undefined): string => schema === undefined ? "" : textOfAnswer(schema)

const sumOr = <A>(
  items: ReadonlyArray<A>,
  tokens: ((item: A) => number | undefined) | undefined,
  unknown: (item: A) => Unbounded
): Effect.Effect<number, Unbounded> =>
  Effect.map(
    Effect.forEach(items, (item) => {
      const bound = tokens?.(item)
      return bound === undefined ? Effect.fail(unknown(item)) : Effect.succeed(bound)
    }),
    (bounds) => bounds.reduce((sum, bound) => sum + bound, 0)
  )

/**
 * The most input tokens a request can count for: never less than a provider counts, for text whatever its tokenizer, and for files
 * and tools of the provider if what was declared is right.
 *
 * @category estimates
 * @since 0.1.0
 */
export const inputBound = (request: ModelRequest, allowances?: Allowances): Effect.Effect<number, Unbounded> =>
  Effect.gen(function*() {
    const { count, files, texts } = partsOf(request.prompt)
    const providerTools = request.tools.filter((tool) => Tool.isProviderDefined(tool))
    const ofFiles = yield* sumOr(
      files,
      allowances?.file,
      (file) => new Unbounded({ what: "file", detail: file.mediaType })
    )
    const ofTools = yield* sumOr(
      providerTools,
      allowances?.providerTool,
      (tool) => new Unbounded({ what: "providerTool", detail: tool.name })
    )
    const text = [...texts, ...request.tools.map(textOfTool), textOfSchema(request.schema)]
    return text.reduce((sum, part) => sum + textBound(part), 0) + ofFiles + ofTools +
      (allowances?.perRequest ?? 64) +
      (allowances?.perMessage ?? 16) * count +
      (request.tools.length === 0 && request.schema === undefined ? 0 : allowances?.withTools ?? 1_024)
  })

/**
 * How many input tokens a request probably counts for: what the `Tokenizer` of the context says where there is one, else a quarter
 * of its characters. What is declared for files and tools of the provider is added; what is not counts nothing.
 *
 * @category estimates
 * @since 0.1.0
 */
export const inputExpected = (request: ModelRequest, allowances?: Allowances): Effect.Effect<number> =>
  Effect.gen(function*() {
    const { files, texts } = partsOf(request.prompt)
    const guess = (text: ReadonlyArray<string>) => Math.ceil(text.reduce((sum, part) => sum + part.length, 0) / 4)
    const tokenizer = yield* Effect.serviceOption(Tokenizer.Tokenizer)
    const ofPrompt = Option.isNone(tokenizer)
      ? guess(texts)
      // A tokenizer that fails on a prompt is no reason not to send it.
      : yield* Effect.orElseSucceed(
        Effect.map(tokenizer.value.tokenize(request.prompt), (tokens) => tokens.length),
        () => guess(texts)
      )
    return ofPrompt +
      guess([...request.tools.map(textOfTool), textOfSchema(request.schema)]) +
      files.reduce((sum, file) => sum + (allowances?.file?.(file) ?? 0), 0) +
      request.tools.reduce(
        (sum, tool) => Tool.isProviderDefined(tool) ? sum + (allowances?.providerTool?.(tool) ?? 0) : sum,
        0
      )
  })

/**
 * The most tokens a call of a tool can be, as a model writes it.
 *
 * @internal
 */
export const callBound = (call: { readonly name: string; readonly params: unknown }): number =>
  textBound(call.name) + textBound(render(call.params))
