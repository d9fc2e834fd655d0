package io.crescendo.train;

import io.crescendo.autograd.Program;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.memory.WorkspacePlan;

/** A program that was traced, lowered and planned, and waits to be bound. */
record PlannedProgram(Program program, LoweredProgram lowered, WorkspacePlan plan) implements AutoCloseable {
    @Override
    public void close() {
        lowered.close();
    }
}
