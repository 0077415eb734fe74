import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Json } from "./support/cycles.ts"

const root = fileURLToPath(new URL("../../../", import.meta.url))
const page = readFileSync(join(root, "docs/telemetry.md"), "utf8")

/** The code of a module, without its comments, which have examples. */
const codeOf = (file: string): string => readFileSync(file, "utf8").replaceAll(/\/\*\*.*?\*\//gs, "")

const sources: ReadonlyArray<string> = ["cycles", "http", "ai", "web", "sqlite", "postgres", "server"].flatMap(
  (name) => {
    const folder = join(root, "packages", name, "src")
    return readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts"))
      .map((file) => codeOf(join(folder, file)))
  }
)

/** The texts of `"…"` in what follows a name. */
const quoted = (text: string): ReadonlyArray<string> =>
  Array.from(text.matchAll(/"([^"]*)"/g), ([, inner = ""]) => inner)

interface Metric {
  readonly type: string
  readonly labels: ReadonlyArray<string>
}

/** Every metric there is in the code. */
const exported: ReadonlyMap<string, Metric> = new Map(
  sources.flatMap((code) =>
    Array.from(
      code.matchAll(/const (\w+) = (?:\([^)]*\) =>\s*)?Metric\.(\w+)\("(\w+)"/g),
      ([, constant = "", type = "", name = ""]): readonly [string, Metric] => {
        const listed = new RegExp(`(?:labelled|seriesOf)\\(${constant}, ([^)]*)\\)`).exec(code)?.[1]
        const given = new RegExp(`withAttributes\\(${constant}, \\{([^}]*)\\}`).exec(code)?.[1] ?? ""
        const labels = listed === undefined
          ? Array.from(given.matchAll(/(\w+)(?=:|,|\s*$)(?::[^,]*)?/g), ([, label = ""]) => label)
          : quoted(listed)
        return [name, { type, labels }]
      }
    )
  )
)

/** The rows of the page's tables whose first cell is one name. */
const rows = page.split("\n")
  .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()))
  .filter(([first = ""]) => /^`[^`]+`$/.test(first))
  .map(([first = "", ...cells]) => [first.slice(1, -1), ...cells] as const)

const sorted = (names: Iterable<string>): ReadonlyArray<string> => Array.from(new Set(names)).sort()

describe("docs/telemetry.md", () => {
  it("lists every metric there is, its type and its labels", () => {
    assert.isAtLeast(exported.size, 22)
    const listed = rows.flatMap(([name, type = "", , labels = ""]) =>
      ["counter", "gauge", "histogram"].includes(type)
        ? [[name, { type, labels: Array.from(labels.matchAll(/`(\w+)`/g), ([, label = ""]) => label).sort() }] as const]
        : []
    )
    const found = Array.from(
      exported,
      ([name, { labels, type }]) => [name, { type, labels: labels.toSorted() }] as const
    )
    assert.deepStrictEqual(Object.fromEntries(listed), Object.fromEntries(found))
  })

  it("lists every span there is", () => {
    const asked = sources.flatMap((code) =>
      code.includes("`Budget.${name}`")
        ? Array.from(code.matchAll(/\basked\(\s*"(\w+)"/g), ([, name]) => `Budget.${name}`)
        : []
    )
    const named = sources.flatMap((code) =>
      Array.from(code.matchAll(/"((?:Budget|Reservation)\.\w+)"/g), ([, name = ""]) => name)
        .filter((name) => ["Budget.guard", "Reservation.make", "Reservation.adopt"].includes(name))
    )
    const made = sources.filter((code) => /withSpan\(|useSpan\(|makeSpan\(/.test(code))
    // The runtime's and the HTTP client's. Another one has to be written down.
    assert.lengthOf(made, 2)
    assert.isTrue(made.some((code) => code.includes("`cycles.${endpoint.operation}`")))
    const listed = rows.flatMap(([name, kind]) => kind === "internal" || kind === "client" ? [name] : [])
    assert.deepStrictEqual(sorted(listed), sorted([...asked, ...named, "cycles.<operation>"]))
  })

  it("lists every attribute there is", () => {
    const written = sources
      .filter((code) => /\.attribute\(|attributes: \{/.test(code) && /Span/.test(code))
      .flatMap((code) =>
        Array.from(
          code.matchAll(/"((?:cycles|gen_ai|http|url|server)\.[a-z_.]+)"/g),
          ([, name = ""]) => name
        )
      )
      // Of log lines, and of a span's event.
      .filter((name) => name !== "cycles.action" && name !== "cycles.renewed")
    const listed = rows.flatMap(([name]) => /^(cycles|gen_ai|http|url|server)\.[a-z_.]+$/.test(name) ? [name] : [])
    const byEffect = [
      "gen_ai.operation.name",
      "gen_ai.provider.name",
      "gen_ai.request.max_tokens",
      "gen_ai.request.model",
      "gen_ai.response.model",
      "gen_ai.usage.input_tokens",
      "gen_ai.usage.output_tokens"
    ]
    assert.deepStrictEqual(sorted(listed), sorted([...written, ...byEffect]))
    for (const name of ["cycles.action", "cycles.renewed"]) assert.include(page, `\`${name}\``)
  })
})

const dashboard = JSON.parse(readFileSync(join(root, "packages/server/grafana/cycles.json"), "utf8")) as Json
const panels: ReadonlyArray<Json> = dashboard["panels"]
const graphs = panels.filter(({ type }) => type !== "row")

describe("grafana/cycles.json", () => {
  it("asks for metrics and labels that there are", () => {
    const used = new Set<string>()
    for (const { targets, title } of graphs) {
      for (const { expr } of targets) {
        const selectors = Array.from(String(expr).matchAll(/(\w+)\{([^}]*)\}/g))
        assert.isNotEmpty(selectors, expr)
        // Nothing is asked for that is not of the chosen job.
        assert.strictEqual(String(expr).match(/\b(?:cycles|process|nodejs)_\w+/g)?.length, selectors.length, expr)
        for (const [, series = "", matchers = ""] of selectors) {
          const name = exported.has(series) ? series : series.replace(/_(bucket|sum|count)$/, "")
          const metric = exported.get(name)
          assert.isDefined(metric, `${title}: nobody exports ${series}`)
          assert.strictEqual(metric?.type === "histogram", name !== series, `${title}: ${series}`)
          used.add(name)
          const known = [...metric?.labels ?? [], "job", "instance", ...(metric?.type === "histogram" ? ["le"] : [])]
          const grouped = Array.from(String(expr).matchAll(/ by \(([^)]*)\)/g)).flatMap(([, names = ""]) =>
            names.split(", ")
          )
          const matched = Array.from(matchers.matchAll(/(\w+)=/g), ([, label = ""]) => label)
          for (const label of [...grouped, ...matched]) assert.include(known, label, `${title}: ${expr}`)
          assert.include(matched, "job", expr)
        }
      }
    }
    // What is exported is shown.
    assert.deepStrictEqual(sorted(used), sorted(exported.keys()))
  })

  it("shows what there is to watch", () => {
    const titles = graphs.map(({ title }) => String(title))
    for (
      const title of [
        "Decisions",
        "Denials by reason",
        "Latency of operations",
        "Estimate drift",
        "Overruns",
        "Recoveries",
        "Heartbeats",
        "Requests",
        "Latency of requests",
        "Queue"
      ]
    ) assert.include(titles, title)
    for (const title of ["Latency of operations", "Latency of requests"]) {
      const asked = graphs.filter((panel) => panel["title"] === title).flatMap(({ targets }) => targets)
      assert.deepStrictEqual(asked.map(({ expr }: Json) => /^histogram_quantile\(([\d.]+)/.exec(expr)?.[1]), [
        "0.5",
        "0.99"
      ])
    }
  })

  it("is a dashboard over whatever Prometheus is chosen", () => {
    assert.isAtLeast(dashboard["schemaVersion"], 36)
    const [source] = dashboard["templating"].list as ReadonlyArray<Json>
    assert.deepInclude(source, { name: "datasource", type: "datasource", query: "prometheus" })
    assert.strictEqual(new Set(panels.map(({ id }) => id)).size, panels.length)
    const used: Array<Json> = []
    for (const { datasource, gridPos, targets, title } of graphs) {
      assert.isString(title)
      for (const { datasource: own } of [{ datasource }, ...targets]) {
        assert.deepStrictEqual(own, { type: "prometheus", uid: "${datasource}" }, title)
      }
      assert.strictEqual(new Set(targets.map(({ refId }: Json) => refId)).size, targets.length)
      assert.isAtMost(gridPos.x + gridPos.w, 24, title)
      for (const other of used) {
        const apart = gridPos.x >= other["x"] + other["w"] || other["x"] >= gridPos.x + gridPos.w ||
          gridPos.y >= other["y"] + other["h"] || other["y"] >= gridPos.y + gridPos.h
        assert.isTrue(apart, `${title} lies over another panel`)
      }
      used.push(gridPos)
    }
  })
})
