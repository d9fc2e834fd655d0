package io.crescendo.cpu;

import static org.bytedeco.dnnl.global.dnnl.*;

import org.bytedeco.dnnl.dnnl_engine;
import org.bytedeco.dnnl.dnnl_stream;
import org.bytedeco.dnnl.global.dnnl;

/** oneDNN's engine (the processor) and the stream that primitives run on. */
final class OneDnn implements AutoCloseable {
    final dnnl_engine engine = new dnnl_engine();
    final dnnl_stream stream = new dnnl_stream();

    OneDnn() {
        check(dnnl_engine_create(engine, dnnl_cpu, 0), "create the CPU engine");
        check(dnnl_stream_create(stream, engine, dnnl_stream_in_order), "create a stream");
    }

    /** Throws with oneDNN's word for what went wrong. */
    static void check(int status, String action) {
        if (status != dnnl_success) {
            throw new IllegalStateException("oneDNN could not " + action + ": " + describe(status));
        }
    }

    private static String describe(int status) {
        if (status == dnnl.dnnl_out_of_memory) {
            return "out of memory";
        } else if (status == dnnl.dnnl_invalid_arguments) {
            return "invalid arguments";
        } else if (status == dnnl.dnnl_unimplemented) {
            return "no implementation for this case on this processor";
        }
        return "status " + status;
    }

    @Override
    public void close() {
        dnnl_stream_destroy(stream);
        dnnl_engine_destroy(engine);
    }
}
