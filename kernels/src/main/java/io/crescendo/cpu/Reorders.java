package io.crescendo.cpu;

import static io.crescendo.cpu.OpPlan.arg;
import static org.bytedeco.dnnl.global.dnnl.*;

import java.util.List;
import java.util.function.Predicate;
import org.bytedeco.dnnl.dnnl_primitive_attr;
import org.bytedeco.dnnl.dnnl_primitive_desc;

/** Copies between layouts. */
final class Reorders {
    private Reorders() {}

    /** Appends a copy from one layout into another. */
    static void append(OneDnn oneDnn, OpPlan plan, Operand from, Operand to, dnnl_primitive_attr attributes) {
        appendIf(binding -> true, oneDnn, plan, from, to, attributes);
    }

    /** Appends a copy that only some bindings need. */
    static void appendIf(
            Predicate<Binding> needed,
            OneDnn oneDnn,
            OpPlan plan,
            Operand from,
            Operand to,
            dnnl_primitive_attr attributes) {
        dnnl_primitive_desc chosen = plan.choose(
                "reorder",
                pd -> dnnl_reorder_primitive_desc_create(
                        pd,
                        from.layout().descriptor(),
                        oneDnn.engine,
                        to.layout().descriptor(),
                        oneDnn.engine,
                        attributes));
        plan.primitiveIf(needed, "reorder", chosen, List.of(arg(DNNL_ARG_FROM, from), arg(DNNL_ARG_TO, to)));
    }
}
