package io.crescendo.cpu;

import static org.bytedeco.dnnl.global.dnnl.*;

import java.util.List;
import java.util.function.Consumer;
import org.bytedeco.dnnl.dnnl_post_ops;
import org.bytedeco.dnnl.dnnl_primitive_attr;

/** What oneDNN does to a primitive's result before it is stored. */
final class PostOps {
    private PostOps() {}

    /** Attaches post-operations, in the order given. */
    static void attach(NativeScope scope, dnnl_primitive_attr attributes, List<Consumer<dnnl_post_ops>> operations) {
        dnnl_post_ops postOps = new dnnl_post_ops();
        OneDnn.check(dnnl_post_ops_create(postOps), "create post-operations");
        scope.onClose(() -> dnnl_post_ops_destroy(postOps));
        operations.forEach(operation -> operation.accept(postOps));
        OneDnn.check(dnnl_primitive_attr_set_post_ops(attributes, postOps), "set post-operations");
    }

    static void attach(NativeScope scope, dnnl_primitive_attr attributes, Consumer<dnnl_post_ops> operation) {
        attach(scope, attributes, List.of(operation));
    }

    /** result + what lay at the destination before. */
    static void sum(dnnl_post_ops postOps) {
        OneDnn.check(dnnl_post_ops_append_sum(postOps, 1, 0, dnnl_data_type_undef), "append a sum");
    }

    /** max(result, 0). */
    static void relu(dnnl_post_ops postOps) {
        OneDnn.check(dnnl_post_ops_append_eltwise(postOps, dnnl_eltwise_relu, 0, 0), "append a ReLU");
    }
}
