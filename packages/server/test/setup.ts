// As the program has it.
import "effect/schema/SchemaJITCompiler/enable"
