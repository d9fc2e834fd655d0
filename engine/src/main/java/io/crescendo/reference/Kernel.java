package io.crescendo.reference;

/** One operation, ready to run. */
interface Kernel {
    void run(Operands operands);
}
