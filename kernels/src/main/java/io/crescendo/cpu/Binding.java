package io.crescendo.cpu;

import static org.bytedeco.dnnl.global.dnnl.*;

import io.crescendo.autograd.Home;
import io.crescendo.backend.ModelMemory;
import io.crescendo.cpu.Operand.Place;
import io.crescendo.memory.WorkspacePlan;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.dnnl.dnnl_memory;
import org.bytedeco.javacpp.Pointer;
import org.jspecify.annotations.Nullable;

/**
 * Turns operands into addresses, and turns them again when the arena moves.
 *
 * <p>Each operand becomes one oneDNN memory object, or one Java view, that is made once; moving only sets pointers.
 */
final class Binding {
    private final OneDnn oneDnn;
    private final NativeScope scope;
    private final WorkspacePlan plan;
    private final ModelMemory model;
    private final Map<Operand, dnnl_memory> memories = new HashMap<>();
    private final List<Placed> placed = new ArrayList<>();
    private final List<Fed> fed = new ArrayList<>();
    private final List<Kept> kept = new ArrayList<>();
    private final List<Floats> views = new ArrayList<>();
    private final Address address = new Address();
    private @Nullable WinogradStage stage;

    Binding(OneDnn oneDnn, NativeScope scope, WorkspacePlan plan, ModelMemory model) {
        this.oneDnn = oneDnn;
        this.scope = scope;
        this.plan = plan;
        this.model = model;
    }

    private record Placed(Place place, dnnl_memory memory) {}

    private record Fed(Place.InImages place, dnnl_memory memory) {}

    private record Kept(Place.InKept place, dnnl_memory memory) {}

    /** A Java view of an operand's floats; its buffer is replaced when the arena moves. */
    static final class Floats {
        private final Place place;
        private final long elements;
        private @Nullable FloatBuffer buffer;

        private Floats(Place place, long elements) {
            this.place = place;
            this.elements = elements;
        }

        FloatBuffer buffer() {
            if (buffer == null) {
                throw new IllegalStateException("a step ran before its executable had an address");
            }
            return buffer;
        }
    }

    OneDnn oneDnn() {
        return oneDnn;
    }

    NativeScope scope() {
        return scope;
    }

    /** The memory object of an operand, the same for equal operands. */
    dnnl_memory memory(Operand operand) {
        return memories.computeIfAbsent(operand, this::create);
    }

    private dnnl_memory create(Operand operand) {
        dnnl_memory memory = new dnnl_memory();
        OneDnn.check(
                dnnl_memory_create(memory, operand.layout().descriptor(), oneDnn.engine, new Address().at(0)),
                "create the memory object of " + operand);
        scope.onClose(() -> dnnl_memory_destroy(memory));
        if (operand.place() instanceof Place.InImages images) {
            fed.add(new Fed(images, memory));
        } else if (operand.place() instanceof Place.InKept inKept) {
            kept.add(new Kept(inKept, memory));
        } else {
            placed.add(new Placed(operand.place(), memory));
        }
        return memory;
    }

    /** A Java view of the first elements of an operand in plain order. */
    Floats floats(Operand operand, long elements) {
        Floats view = new Floats(operand.place(), elements);
        views.add(view);
        return view;
    }

    /** A Java view of all floats of an operand as they lie. */
    Floats floats(Operand operand) {
        return floats(operand, operand.layout().bytes() / Float.BYTES);
    }

    /** Where the steps of this binding transform images and filters. */
    WinogradStage stage(int threads) {
        if (stage == null) {
            stage = new WinogradStage(threads);
        }
        return stage;
    }

    /** Whether the planner gave both the same place. */
    boolean coincide(Operand a, Operand b) {
        return !(a.place() instanceof Place.InImages)
                && !(b.place() instanceof Place.InImages)
                && addressOf(a.place(), 0) == addressOf(b.place(), 0)
                && a.place().getClass() == b.place().getClass();
    }

    /** Sets every address for an arena that starts here. */
    void move(long arenaAddress) {
        for (Placed item : placed) {
            set(item.memory, addressOf(item.place, arenaAddress));
        }
        for (Floats view : views) {
            view.buffer = NativeMemory.floatsAt(addressOf(view.place, arenaAddress), view.elements);
        }
    }

    /** Sets the addresses that differ from shard to shard: of the fed images and of kept results. */
    void feed(long imagesAddress, int firstSample) {
        for (int i = 0; i < fed.size(); i++) {
            Fed item = fed.get(i);
            set(item.memory, imagesAddress + item.place.byteOffset() + firstSample * item.place.bytesPerSample());
        }
        for (int i = 0; i < kept.size(); i++) {
            Kept item = kept.get(i);
            set(
                    item.memory,
                    item.place.memory().address()
                            + item.place.byteOffset()
                            + firstSample * item.place.bytesPerSample());
        }
    }

    private void set(dnnl_memory memory, long newAddress) {
        int status = dnnl_memory_set_data_handle(memory, address.at(newAddress));
        if (status != dnnl_success) {
            OneDnn.check(status, "set an address");
        }
    }

    private long addressOf(Place place, long arenaAddress) {
        if (place instanceof Place.InArena inArena) {
            return arenaAddress + plan.offset(inArena.value()) + inArena.byteOffset();
        } else if (place instanceof Place.InScratch inScratch) {
            return arenaAddress + plan.scratchOffset(inScratch.opIndex()) + inScratch.byteOffset();
        } else if (place instanceof Place.InPack inPack) {
            return pack(inPack.home()).address() + inPack.byteOffset();
        }
        throw new IllegalStateException(place + " has no fixed address");
    }

    private CpuDeviceMemory pack(Home home) {
        return (CpuDeviceMemory)
                switch (home) {
                    case WEIGHTS -> model.weights();
                    case GRADIENTS -> model.gradients();
                    case STATISTICS -> model.statistics();
                    case IMAGES, LABELS, ARENA -> throw new IllegalArgumentException(home + " is no pack");
                };
    }

    /** Addresses of a fed buffer; remembers the last few, because asking costs an allocation. */
    static final class FedBuffers {
        private static final int REMEMBERED = 8;
        private final FloatBuffer[] buffers = new FloatBuffer[REMEMBERED];
        private final long[] addresses = new long[REMEMBERED];
        private int next;

        @SuppressWarnings("ReferenceEquality") // equal contents may lie at different addresses
        long address(FloatBuffer buffer) {
            for (int i = 0; i < REMEMBERED; i++) {
                if (buffers[i] == buffer) {
                    return addresses[i];
                }
            }
            // From index 0, whatever the buffer's position is.
            long found = new Pointer(buffer.duplicate().position(0)) {}.address();
            buffers[next] = buffer;
            addresses[next] = found;
            next = (next + 1) % REMEMBERED;
            return found;
        }
    }
}
