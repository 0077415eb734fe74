import { HistoryConformance } from "@effect-cycles/testing"
import { LedgerStoreMemory } from "effect-cycles"

HistoryConformance.suite("a store in memory", LedgerStoreMemory.layer)
