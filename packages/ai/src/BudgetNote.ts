/**
 * What is left of a budget, told to the model that spends it: as a note to its prompt, or as a tool it can ask.
 *
 * A model that knows that little is left can finish what it has instead of beginning anew.
 *
 * **Example** (A note at half and at a tenth)
 *
 * ```ts
 * import { BudgetNote } from "@effect-cycles/ai"
 * import { Effect, Option } from "effect"
 * import { Action, Amount, Budget, Ledger } from "effect-cycles"
 *
 * const spend = (tokens: number) =>
 *   Budget.guard(
 *     { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(tokens) },
 *     (r) => Effect.succeed(r.commit(Amount.tokens(tokens)))
 *   )
 *
 * const note = BudgetNote.note({ subject: { tenant: "acme" }, unit: "TOKENS", thresholds: [0.5, 0.1] })
 *
 * const program = Effect.gen(function*() {
 *   const before = yield* note
 *   yield* spend(3_000)
 *   const after = yield* note
 *   return [Option.isNone(before), Option.getOrUndefined(after)]
 * }).pipe(
 *   Effect.provide(Budget.layer()),
 *   Effect.provide(Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(5_000) }] }))
 * )
 *
 * console.log(await Effect.runPromise(program))
 * // => [ true, "Budget: 2000 TOKENS of 5000 TOKENS are left (40 %). Finish with what you have where you can." ]
 * ```
 *
 * @since 0.1.0
 */
import type { Unit } from "effect-cycles/protocol/Amount"
import * as Amounts from "effect-cycles/protocol/Amount"
import { BudgetAuthority } from "effect-cycles/protocol/BudgetAuthority"
import type { Trouble } from "effect-cycles/protocol/CyclesError"
import type { Cursor } from "effect-cycles/protocol/Ids"
import type { Subject } from "effect-cycles/protocol/Subject"
import { levels } from "effect-cycles/protocol/Subject"
import * as Prompt from "effect/ai/Prompt"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/**
 * The budget of a subject's path that has the smallest share left.
 *
 * - `remaining`, `allocated`: in `unit`; what remains can be below zero
 * - `share`: `remaining` over `allocated`, at least 0; 0 where nothing is allocated
 *
 * @category models
 * @since 0.1.0
 */
export interface Left {
  readonly scope: string
  readonly unit: Unit
  readonly remaining: bigint
  readonly allocated: bigint
  readonly share: number
}

/**
 * - `subject`: whose budgets; those of every level of its path are looked at
 * - `unit`: those in this unit
 * - `thresholds`: shares left from which on there is a note; half, a fifth and a tenth when not given
 * - `text`: what the note says
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly subject: Subject
  readonly unit: Unit
  readonly thresholds?: ReadonlyArray<number> | undefined
  readonly text?: ((left: Left) => string) | undefined
}

/** The subject of every level of a path, widest first. */
const pathsOf = (subject: Subject): ReadonlyArray<{ readonly scope: string; readonly subject: Subject }> => {
  const paths: Array<{ readonly scope: string; readonly subject: Subject }> = []
  for (const level of levels) {
    const name = subject[level]
    if (name === undefined) continue
    const last = paths.at(-1)
    paths.push({
      scope: last === undefined ? `${level}:${name}` : `${last.scope}/${level}:${name}`,
      subject: { ...last?.subject, [level]: name }
    })
  }
  return paths
}

const percent = (share: number) => Math.floor(share * 100)

const defaultText = ({ allocated, remaining, share, unit }: Left): string =>
  `Budget: ${Amounts.format({ unit, amount: remaining })} of ${Amounts.format({ unit, amount: allocated })} are left ` +
  `(${percent(share)} %). Finish with what you have where you can.`

/** The budget on exactly this scope; the authority lists it along with those below it. */
const budgetOn = (
  scope: string,
  subject: Subject,
  unit: Unit,
  cursor?: Cursor
): Effect.Effect<ReadonlyArray<Left>, Trouble, BudgetAuthority> =>
  Effect.gen(function*() {
    const authority = yield* BudgetAuthority
    const page = yield* authority.balances({
      ...subject,
      limit: 200,
      ...(cursor === undefined ? undefined : { cursor })
    })
    const found = page.balances.find((balance) => balance.scopePath === scope && balance.remaining.unit === unit)
    if (found !== undefined) {
      const allocated = found.allocated?.amount ?? 0n
      const remaining = found.remaining.amount
      const share = allocated === 0n || remaining < 0n ? 0 : Number((remaining * 10_000n) / allocated) / 10_000
      return [{ scope, unit, remaining, allocated, share }]
    }
    return page.nextCursor === undefined ? [] : yield* budgetOn(scope, subject, unit, page.nextCursor)
  })

/**
 * What is left: the budget of the path with the smallest share, if there is any. It asks the authority once for each level.
 *
 * @category getters
 * @since 0.1.0
 */
export const left = (
  options: Pick<Options, "subject" | "unit">
): Effect.Effect<Option.Option<Left>, Trouble, BudgetAuthority> =>
  Effect.map(
    Effect.forEach(pathsOf(options.subject), ({ scope, subject }) => budgetOn(scope, subject, options.unit), {
      concurrency: "unbounded"
    }),
    (found) =>
      found.flat().reduce<Option.Option<Left>>(
        (least, left) => Option.isSome(least) && least.value.share <= left.share ? least : Option.some(left),
        Option.none()
      )
  )

/**
 * The note there is to give, if as little is left as a threshold says.
 *
 * @category getters
 * @since 0.1.0
 */
export const note = (options: Options): Effect.Effect<Option.Option<string>, Trouble, BudgetAuthority> =>
  Effect.map(
    left(options),
    Option.flatMap((left) =>
      (options.thresholds ?? [0.5, 0.2, 0.1]).some((threshold) => left.share <= threshold)
        ? Option.some((options.text ?? defaultText)(left))
        : Option.none()
    )
  )

/**
 * A prompt with the note in front, as a system message, where there is one to give. Give the result to a model; a budgeted one counts it
 * in.
 *
 * @category combinators
 * @since 0.1.0
 */
export const annotate = (
  prompt: Prompt.RawInput,
  options: Options
): Effect.Effect<Prompt.Prompt, Trouble, BudgetAuthority> =>
  Effect.map(note(options), (note) =>
    Option.isNone(note)
      ? Prompt.make(prompt)
      : Prompt.concat(Prompt.make([{ role: "system", content: note.value }]), prompt))

/**
 * A toolkit with one tool, `check_budget`, by which a model asks what is left.
 *
 * @category tools
 * @since 0.1.0
 */
export const toolkit = Toolkit.make(
  Tool.make("check_budget", {
    description: "Tells how much of the budget is left, before you begin something large",
    success: Schema.Struct({
      unit: Amounts.Unit,
      remaining: Schema.String,
      allocated: Schema.String,
      percent_left: Schema.Int
    }),
    failure: Schema.Struct({ message: Schema.String }),
    failureMode: "return"
  })
)

/**
 * The handler of {@link toolkit}, for a subject.
 *
 * @category tools
 * @since 0.1.0
 */
export const layerHandlers = (
  options: Pick<Options, "subject" | "unit">
): Layer.Layer<Tool.HandlersFor<typeof toolkit.tools>, never, BudgetAuthority> =>
  toolkit.toLayer(Effect.map(BudgetAuthority, (authority) => ({
    check_budget: () =>
      left(options).pipe(
        Effect.provideService(BudgetAuthority, authority),
        Effect.matchEffect({
          onFailure: (error) => Effect.fail({ message: error.message }),
          onSuccess: (left) =>
            Option.isNone(left)
              ? Effect.fail({ message: `There is no budget in ${options.unit}` })
              : Effect.succeed({
                unit: left.value.unit,
                remaining: Amounts.format({ unit: left.value.unit, amount: left.value.remaining }),
                allocated: Amounts.format({ unit: left.value.unit, amount: left.value.allocated }),
                percent_left: percent(left.value.share)
              })
        })
      )
  })))
