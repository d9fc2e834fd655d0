package io.crescendo.cpu;

import static org.bytedeco.dnnl.global.dnnl.dnnl_primitive_create;
import static org.bytedeco.dnnl.global.dnnl.dnnl_primitive_destroy;

import java.util.function.Consumer;
import org.bytedeco.dnnl.dnnl_primitive;
import org.bytedeco.dnnl.dnnl_primitive_desc;
import org.jspecify.annotations.Nullable;

/**
 * One oneDNN primitive: the code that is generated for a chosen implementation, by far the slowest part of preparing a
 * program.
 *
 * <p>Compiled ahead it belongs to the lowered program until a binding takes it; every further binding builds its own.
 */
final class Compiled {
    private final String name;
    private final dnnl_primitive_desc chosen;
    private final NativeScope lowered;
    private final Consumer<Runnable> around;
    private @Nullable dnnl_primitive ready;

    /**
     * Describes it.
     *
     * @param around runs the building, for a number of threads of its choice
     */
    Compiled(String name, dnnl_primitive_desc chosen, NativeScope lowered, Consumer<Runnable> around) {
        this.around = around;
        this.name = name;
        this.chosen = chosen;
        this.lowered = lowered;
    }

    /** What it does, for messages. */
    String name() {
        return name;
    }

    /** Builds it unless it waits already. */
    void compile() {
        if (ready == null) {
            ready = create();
            lowered.onClose(this::destroy);
        }
    }

    /** Hands it over to a binding's scope, which will destroy it. */
    dnnl_primitive take(NativeScope scope) {
        dnnl_primitive primitive = ready == null ? create() : ready;
        ready = null;
        scope.onClose(() -> dnnl_primitive_destroy(primitive));
        return primitive;
    }

    private dnnl_primitive create() {
        dnnl_primitive primitive = new dnnl_primitive();
        around.accept(() -> OneDnn.check(dnnl_primitive_create(primitive, chosen), "compile the " + name));
        return primitive;
    }

    private void destroy() {
        dnnl_primitive unused = ready;
        ready = null;
        if (unused != null) {
            dnnl_primitive_destroy(unused);
        }
    }
}
