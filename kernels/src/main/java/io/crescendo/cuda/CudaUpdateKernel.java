package io.crescendo.cuda;

import io.crescendo.backend.DeviceMemory;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.Precision;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateRule;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * A parameter update: a kernel that reads the gradients and one over the whole pack, or two of those where every
 * tensor's norm counts.
 *
 * <p>The numbers that change come through the ring of {@link StepNumbers}: by the launch that begins a whole step, or
 * one in front of an update alone. So the host may be some updates ahead. The last kernel also writes the bf16 weights
 * and clears the gradients; it does nothing else once a taken loss or a gradient was not finite. The first one finds
 * that out, in 4 bytes per parameter, and shortens gradients that are to be clipped.
 */
final class CudaUpdateKernel implements UpdateKernel {
    private static final int SCALARS_BYTES = 8 * Float.BYTES; // UpdateScalars of update.cuh

    private static final int ELEMENTS_OF_THREAD = 4;
    /** A bit of the mask of decaying parameters stands for as many elements as parameters are aligned to. */
    private static final int ELEMENTS_OF_BIT = ParameterPack.ALIGNMENT;

    private final CudaBackend backend;
    private final CudaDevice device;
    private final CudaScope scope;
    private final List<CudaDeviceMemory> memories = new ArrayList<>();
    private final List<CudaDeviceMemory> state = new ArrayList<>();
    /**
     * The first raises the flag where a gradient is not finite, and shortens the scale where the gradient is too long.
     */
    private final List<Replay.Item> launches = new ArrayList<>();

    /** An update by itself. */
    private final Replay replay;

    /** β₂ of Adam and LAMB; 0 for rules without it. */
    private final double beta2;

    private final DeviceBlock scalarsOnDevice;
    private volatile @Nullable CudaResidentImages images;
    private boolean closed;

    CudaUpdateKernel(
            CudaBackend backend,
            CudaScope scope,
            UpdateRule rule,
            ModelMemory model,
            ParameterPack parameters,
            Predicate<Parameter> decayed) {
        this.backend = backend;
        this.device = backend.device();
        this.scope = scope;
        CudaDeviceMemory weights = (CudaDeviceMemory) model.weights();
        CudaDeviceMemory gradients = (CudaDeviceMemory) model.gradients();
        for (int i = 0; i < rule.stateSlots(); i++) {
            CudaDeviceMemory slot = backend.allocate("the optimizer's state", parameters.elements(), weights.order());
            scope.own(slot);
            state.add(slot);
        }
        memories.addAll(state);
        memories.add(weights);
        memories.add(gradients);
        if (device.precision() == Precision.BF16) {
            weights.addShadow();
        }
        this.beta2 = beta2(rule);
        this.scalarsOnDevice = scope.own(DeviceBlock.allocate("an update's numbers", SCALARS_BYTES));
        int[] bits = bits(parameters, decayed);
        DeviceBlock mask =
                scope.own(DeviceBlock.allocate("which parameters decay", (long) Integer.BYTES * bits.length));
        if (bits.length > 0) {
            backend.transfer().write(bits, mask.address());
        }
        launches.add(item(clip(backend, gradients), "the check of the gradient"));
        calls(backend, rule, weights, gradients, mask, parameters)
                .forEach(call -> launches.add(item(call, "the update")));
        List<Replay.Item> alone = new ArrayList<>(List.of(backend.numbers().begin()));
        alone.addAll(launches);
        this.replay = scope.own(new Replay(backend, "the update", alone));
        scope.onClose(device::await); // an update may be running
        backend.updates().add(this);
        scope.onClose(() -> backend.updates().remove(this));
    }

    private static Replay.Item item(Kernels.Call call, String owner) {
        return new Replay.Item(lane -> call.enqueue(lane.stream()), owner);
    }

    private static double beta2(UpdateRule rule) {
        if (rule instanceof UpdateRule.Adam adam) {
            return adam.beta2();
        } else if (rule instanceof UpdateRule.AdamW adam) {
            return adam.beta2();
        }
        return rule instanceof UpdateRule.Lamb lamb ? lamb.beta2() : 0;
    }

    private static int[] bits(ParameterPack parameters, Predicate<Parameter> decayed) {
        long groups = (parameters.elements() + ELEMENTS_OF_BIT - 1) / ELEMENTS_OF_BIT;
        int[] bits = new int[Math.toIntExact((groups + Integer.SIZE - 1) / Integer.SIZE)];
        for (Parameter parameter : parameters.parameters()) {
            if (decayed.test(parameter)) {
                long last = (parameter.end() + ELEMENTS_OF_BIT - 1) / ELEMENTS_OF_BIT;
                for (long i = parameter.offset() / ELEMENTS_OF_BIT; i < last; i++) {
                    bits[(int) (i / Integer.SIZE)] |= 1 << (i % Integer.SIZE);
                }
            }
        }
        return bits;
    }

    private Kernels.Call clip(CudaBackend backend, CudaDeviceMemory gradients) {
        int blocks = backend.blocks((gradients.elements() + ELEMENTS_OF_THREAD - 1) / ELEMENTS_OF_THREAD);
        DeviceBlock partials = scope.own(DeviceBlock.allocate("parts of a norm", (long) Double.BYTES * blocks));
        return device.kernels()
                .call(
                        "clip_gradient",
                        blocks,
                        1,
                        gradients.address(),
                        gradients.elements(),
                        backend.numbers().updateAddress(),
                        scalarsOnDevice.address(),
                        0L,
                        backend.metrics().skipFlag(),
                        partials.address(),
                        backend.tickets());
    }

    private List<Kernels.Call> calls(
            CudaBackend backend,
            UpdateRule rule,
            CudaDeviceMemory weights,
            CudaDeviceMemory gradients,
            DeviceBlock mask,
            ParameterPack parameters) {
        LayerwiseUpdate.Place place = new LayerwiseUpdate.Place(
                weights.address(),
                state.stream().map(CudaDeviceMemory::address).toList(),
                gradients.address(),
                weights.shadowAddress(),
                scalarsOnDevice.address(),
                mask.address(),
                backend.metrics().skipFlag());
        if (parameters.parameters().isEmpty()) {
            return List.of();
        } else if (rule instanceof UpdateRule.Lars lars) {
            return new LayerwiseUpdate(backend, scope, parameters).lars(lars, place);
        } else if (rule instanceof UpdateRule.Lamb lamb) {
            return new LayerwiseUpdate(backend, scope, parameters).lamb(lamb, place);
        }
        return List.of(call(backend, rule, weights, gradients, mask));
    }

    private Kernels.Call call(
            CudaBackend backend,
            UpdateRule rule,
            CudaDeviceMemory weights,
            CudaDeviceMemory gradients,
            DeviceBlock mask) {
        List<Object> arguments = new ArrayList<>();
        arguments.add(weights.address());
        state.forEach(slot -> arguments.add(slot.address()));
        arguments.addAll(List.of(
                gradients.address(),
                weights.shadowAddress(),
                weights.elements(),
                scalarsOnDevice.address(),
                mask.address(),
                backend.metrics().skipFlag(),
                1));
        String name;
        if (rule instanceof UpdateRule.Sgd) {
            name = "update_sgd";
        } else if (rule instanceof UpdateRule.Momentum) {
            name = "update_momentum";
        } else if (rule instanceof UpdateRule.Nesterov) {
            name = "update_nesterov";
        } else if (rule instanceof UpdateRule.Adam adam) {
            name = "update_adam";
            addConstants(arguments, adam.beta2(), adam.epsilon());
        } else if (rule instanceof UpdateRule.AdamW adam) {
            name = "update_adamw";
            addConstants(arguments, adam.beta2(), adam.epsilon());
        } else {
            throw new IllegalArgumentException("the CUDA backend has no kernel for the update rule " + rule);
        }
        int blocks = Grids.blocksInOrder((weights.elements() + ELEMENTS_OF_THREAD - 1) / ELEMENTS_OF_THREAD);
        return device.kernels().call(name, blocks, 1, arguments.toArray());
    }

    private static void addConstants(List<Object> arguments, double beta2, double epsilon) {
        arguments.addAll(List.of((float) beta2, (float) (1 - beta2), (float) epsilon));
    }

    CudaBackend backend() {
        return backend;
    }

    /** Whether it updates this model. */
    boolean isOf(ModelMemory model) {
        return memories.contains((CudaDeviceMemory) model.weights());
    }

    /** What an update puts on a stream, behind {@link StepNumbers#begin}. */
    List<Replay.Item> launches() {
        return launches;
    }

    /** Refuses to update what is no longer there. */
    void requireOpen() {
        if (closed) {
            throw new IllegalStateException("this update was closed already");
        }
        for (int i = 0; i < memories.size(); i++) {
            memories.get(i).requireOpen();
        }
    }

    /** Says by which numbers the next step updates. */
    void pass(UpdateScalars scalars) {
        backend.numbers().update(scalars, beta2);
    }

    /** The images that steps of this update were last made on; null for an update by itself. Any thread may ask. */
    @Nullable
    CudaResidentImages images() {
        return images;
    }

    /** Steps of this update are made on these. */
    void images(CudaResidentImages present) {
        if (images != present) {
            images = present;
        }
    }

    @Override
    public void apply(UpdateScalars scalars) {
        requireOpen();
        device.enter();
        try {
            backend.numbers().await();
            pass(scalars);
            replay.launch();
            backend.numbers().sent();
        } catch (jcuda.CudaException e) {
            throw backend.lateFailure("update the parameters", e);
        } catch (CudaException e) {
            throw device.health().note(e);
        }
    }

    @Override
    public List<DeviceMemory> state() {
        return List.copyOf(state);
    }

    @Override
    public void close() {
        closed = true;
        device.enterToClose();
        scope.close();
    }
}
