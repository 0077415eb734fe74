import { LedgerStoreConformance } from "@effect-cycles/testing"
import { LedgerStoreMemory } from "effect-cycles"

LedgerStoreConformance.suite("a store in memory", () => LedgerStoreMemory.layer)
