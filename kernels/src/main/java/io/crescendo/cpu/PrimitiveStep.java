package io.crescendo.cpu;

import static org.bytedeco.dnnl.global.dnnl.dnnl_primitive_execute;
import static org.bytedeco.dnnl.global.dnnl.dnnl_success;

import org.bytedeco.dnnl.dnnl_exec_arg_t;
import org.bytedeco.dnnl.dnnl_primitive;
import org.bytedeco.dnnl.dnnl_stream;

/** Runs one oneDNN primitive on arguments that were laid out beforehand. */
final class PrimitiveStep implements Step {
    private final String what;
    private final dnnl_primitive primitive;
    private final dnnl_stream stream;
    private final dnnl_exec_arg_t arguments;
    private final int count;

    PrimitiveStep(String what, dnnl_primitive primitive, dnnl_stream stream, dnnl_exec_arg_t arguments, int count) {
        this.what = what;
        this.primitive = primitive;
        this.stream = stream;
        this.arguments = arguments;
        this.count = count;
    }

    @Override
    public void run(Shard shard) {
        int status = dnnl_primitive_execute(primitive, stream, count, arguments);
        if (status != dnnl_success) {
            OneDnn.check(status, "run " + what);
        }
    }

    @Override
    public String toString() {
        return what;
    }
}
