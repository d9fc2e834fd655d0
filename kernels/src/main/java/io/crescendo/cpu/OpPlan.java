package io.crescendo.cpu;

import static org.bytedeco.dnnl.global.dnnl.*;

import io.crescendo.autograd.Value;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.function.ToIntFunction;
import org.bytedeco.dnnl.dnnl_exec_arg_t;
import org.bytedeco.dnnl.dnnl_memory_desc;
import org.bytedeco.dnnl.dnnl_primitive;
import org.bytedeco.dnnl.dnnl_primitive_attr;
import org.bytedeco.dnnl.dnnl_primitive_desc;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.PointerPointer;

/** How one operation of the program runs: its steps, its scratch memory and what it may overwrite. */
final class OpPlan {
    /** Scratch operands start on their own cache line. */
    private static final long SCRATCH_ALIGNMENT = 64;

    private final int index;
    private final String description;
    private final NativeScope scope;
    private final List<Step.Template> templates = new ArrayList<>();
    private final List<Compiled> primitives = new ArrayList<>();
    private final Set<Value> overwritable = new HashSet<>();
    private long scratchBytes;

    OpPlan(int index, String description, NativeScope scope) {
        this.index = index;
        this.description = description;
        this.scope = scope;
    }

    /** A value for one of a primitive's numbered arguments. */
    record Argument(int id, Operand operand) {}

    static Argument arg(int id, Operand operand) {
        return new Argument(id, operand);
    }

    long scratchBytes() {
        return scratchBytes;
    }

    boolean mayOverwrite(Value input) {
        return overwritable.contains(input);
    }

    /** Tells the planner that the first output may lie where this input lies. */
    void allowOverwriting(Value input) {
        overwritable.add(input);
    }

    List<Step.Template> templates() {
        return templates;
    }

    /** Memory that only this operation uses, and only while it runs. */
    Operand scratch(Layout layout) {
        Operand operand = new Operand(layout, new Operand.Place.InScratch(index, scratchBytes));
        scratchBytes += (layout.bytes() + SCRATCH_ALIGNMENT - 1) / SCRATCH_ALIGNMENT * SCRATCH_ALIGNMENT;
        return operand;
    }

    /** Settings of a primitive: its temporary memory is ours, so that executing allocates nothing. */
    dnnl_primitive_attr attributes() {
        dnnl_primitive_attr attributes = new dnnl_primitive_attr();
        OneDnn.check(dnnl_primitive_attr_create(attributes), "create attributes");
        scope.onClose(() -> dnnl_primitive_attr_destroy(attributes));
        OneDnn.check(
                dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user),
                "set the scratchpad mode");
        return attributes;
    }

    /** Chooses an implementation; the error names the operation and its shapes. */
    dnnl_primitive_desc choose(String what, ToIntFunction<dnnl_primitive_desc> create) {
        dnnl_primitive_desc chosen = new dnnl_primitive_desc();
        OneDnn.check(create.applyAsInt(chosen), "prepare a " + what + " for " + description);
        scope.onClose(() -> dnnl_primitive_desc_destroy(chosen));
        return chosen;
    }

    /**
     * Chooses for the layouts at hand if there is an implementation compiled for this processor, and for any layouts
     * otherwise: a reorder saved is worth more than the last per cent of a primitive's own speed.
     */
    dnnl_primitive_desc choose(
            String what, ToIntFunction<dnnl_primitive_desc> atHand, ToIntFunction<dnnl_primitive_desc> any) {
        return chooseCompiled(atHand).orElseGet(() -> choose(what, any));
    }

    /** Chooses an implementation that is compiled for this processor; none if there is none. */
    Optional<dnnl_primitive_desc> chooseCompiled(ToIntFunction<dnnl_primitive_desc> create) {
        dnnl_primitive_desc chosen = new dnnl_primitive_desc();
        if (create.applyAsInt(chosen) != dnnl_success) {
            return Optional.empty();
        }
        scope.onClose(() -> dnnl_primitive_desc_destroy(chosen));
        return isCompiled(chosen) ? Optional.of(chosen) : Optional.empty();
    }

    /** Generated for the instruction set at hand, as opposed to a generic loop or a detour over a matrix product. */
    private static boolean isCompiled(dnnl_primitive_desc chosen) {
        try (PointerPointer<BytePointer> name = new PointerPointer<>(1)) {
            OneDnn.check(
                    dnnl_primitive_desc_query(chosen, dnnl_query_impl_info_str, 0, name), "name an implementation");
            String implementation = name.get(BytePointer.class, 0).getString();
            return implementation.startsWith("jit") || implementation.startsWith("brg");
        }
    }

    /** The layout that an implementation chose for one of its arguments. */
    Layout layout(dnnl_primitive_desc chosen, int query, long... extents) {
        return Layout.copyOf(scope, dnnl_primitive_desc_query_md(chosen, query, 0), extents);
    }

    /** Appends a primitive. */
    void primitive(String what, dnnl_primitive_desc chosen, List<Argument> arguments) {
        primitiveIf(binding -> true, what, chosen, arguments);
    }

    /** Appends a primitive that only some bindings need. */
    void primitiveIf(Predicate<Binding> needed, String what, dnnl_primitive_desc chosen, List<Argument> arguments) {
        Function<Binding, List<Step>> inner = inner(what, chosen, List.of(arguments), Runnable::run);
        step((binding, steps) -> {
            if (needed.test(binding)) {
                steps.addAll(inner.apply(binding));
            }
        });
    }

    /**
     * A primitive that steps of the caller's own run, at several places in memory; to be applied once per binding.
     *
     * @param places the arguments for each place
     * @param around sees to the number of threads while the primitive is built
     */
    Function<Binding, List<Step>> inner(
            String what, dnnl_primitive_desc chosen, List<List<Argument>> places, Consumer<Runnable> around) {
        dnnl_memory_desc temporary = dnnl_primitive_desc_query_md(chosen, dnnl_query_scratchpad_md, 0);
        List<List<Argument>> complete = new ArrayList<>();
        for (List<Argument> arguments : places) {
            List<Argument> all = new ArrayList<>(arguments);
            if (temporary != null && dnnl_memory_desc_get_size(temporary) > 0) {
                all.add(arg(DNNL_ARG_SCRATCHPAD, scratch(Layout.copyOf(scope, temporary))));
            }
            complete.add(all);
        }
        Compiled compiled = new Compiled(what + " of " + description, chosen, scope, around);
        primitives.add(compiled);
        return binding -> {
            dnnl_primitive primitive = compiled.take(binding.scope());
            return complete.stream()
                    .map(all -> bind(compiled.name(), primitive, all, binding))
                    .toList();
        };
    }

    /** Builds all primitives ahead, whether or not a binding will need them: most do. */
    void compile() {
        primitives.forEach(Compiled::compile);
    }

    void primitive(String what, dnnl_primitive_desc chosen, Argument... arguments) {
        primitive(what, chosen, List.of(arguments));
    }

    private static Step bind(String what, dnnl_primitive primitive, List<Argument> arguments, Binding binding) {
        dnnl_exec_arg_t list = new dnnl_exec_arg_t(arguments.size());
        for (int i = 0; i < arguments.size(); i++) {
            dnnl_exec_arg_t entry = list.getPointer(i);
            entry.arg(arguments.get(i).id());
            entry.memory(binding.memory(arguments.get(i).operand()));
        }
        return new PrimitiveStep(what, primitive, binding.oneDnn().stream, list, arguments.size());
    }

    void step(Step.Template template) {
        templates.add(template);
    }

    @Override
    public String toString() {
        return description;
    }
}
