package io.crescendo.cpu;

import io.crescendo.backend.DeviceMemory;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.UpdateRule;
import io.crescendo.backend.UpdateScalars;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** What an update reads and writes: a model's weights and gradients, and state of its own. */
final class UpdatePacks implements AutoCloseable {
    final FloatBuffer weights;
    final FloatBuffer gradients;
    /** As many as the rule has slots. */
    final FloatBuffer[] state;

    private final List<CpuDeviceMemory> stateMemories = new ArrayList<>();
    private final List<CpuDeviceMemory> memories;
    private final CpuDeviceMemory gradientMemory;
    private final GradientCheck check;

    UpdatePacks(CpuBackend backend, UpdateRule rule, ModelMemory model) {
        for (int i = 0; i < rule.stateSlots(); i++) {
            stateMemories.add(
                    backend.allocate("the optimizer's state", model.weights().elements()));
        }
        gradientMemory = (CpuDeviceMemory) model.gradients();
        memories = new ArrayList<>(stateMemories);
        memories.add((CpuDeviceMemory) model.weights());
        memories.add(gradientMemory);
        weights = view(model.weights());
        gradients = view(gradientMemory);
        state = stateMemories.stream().map(UpdatePacks::view).toArray(FloatBuffer[]::new);
        check = new GradientCheck(backend, gradients);
    }

    private static FloatBuffer view(DeviceMemory memory) {
        return ((CpuDeviceMemory) memory).floats(0, memory.elements());
    }

    /**
     * Whether an update may happen. The gradient of one that may not is cleared.
     *
     * @param shared whether more than one thread is worth waking
     * @return the update's numbers, with the scale that its gradient gets, or null
     */
    @Nullable
    UpdateScalars admitted(UpdateScalars scalars, boolean shared) {
        for (int i = 0; i < memories.size(); i++) {
            memories.get(i).requireOpen();
        }
        if (!check.allows(scalars, shared)) {
            gradientMemory.clear();
            return null;
        }
        return check.clipped(scalars);
    }

    /** The state's memory, in the order of the rule's slots. */
    List<DeviceMemory> memories() {
        return List.copyOf(stateMemories);
    }

    /** Releases the state. */
    @Override
    public void close() {
        stateMemories.forEach(CpuDeviceMemory::close);
    }
}
