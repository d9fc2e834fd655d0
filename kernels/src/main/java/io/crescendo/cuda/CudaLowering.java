package io.crescendo.cuda;

import io.crescendo.autograd.Program;
import java.util.List;

/** Decides how each operation of a program runs. */
@SuppressWarnings("DoNotCallSuggester") // a placeholder
final class CudaLowering {
    private CudaLowering() {}

    /**
     * Makes a plan for each operation, in the program's order.
     *
     * @param device handles and the compute stream that the launches use
     * @param measuring handles of its own for what must run now, algorithms that are tried for example: a step may be
     *     running on the compute stream meanwhile
     */
    static List<OpPlan> lower(CudaDevice device, CudaDevice.Lowering measuring, Program program) {
        throw new CudaException(
                "no operation of " + program.ops().size() + " can run on " + device.properties() + measuring.stream());
    }
}
