// Schemas are compiled in these tests, as they are in the program.
import "effect/schema/SchemaJITCompiler/enable"
