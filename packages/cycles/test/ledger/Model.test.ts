import { ModelConformance } from "@effect-cycles/testing"
import { LedgerStoreMemory } from "effect-cycles"

ModelConformance.suite("a ledger in memory", { layer: () => LedgerStoreMemory.layer, isDurable: false })
