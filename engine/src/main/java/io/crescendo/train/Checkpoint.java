package io.crescendo.train;

import io.crescendo.backend.DeviceMemory;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.safetensors.SafetensorsException;
import io.crescendo.safetensors.SafetensorsFile;
import io.crescendo.safetensors.TensorEntry;
import io.crescendo.tensor.ParameterPack;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A place in a run from which it can go on: weights, running statistics, optimizer state and clock, in one file.
 *
 * <p>Weights and statistics carry the names of their parameters, so that other tools find them; the optimizer's numbers
 * are named {@code optimizer.0.<parameter>} and so on, in the order of {@link UpdateKernel#state}. {@link ModelFile}
 * reads the weights for other uses. What must be the same for a run to go on is written down in the file's texts and
 * compared by {@link Trainer#resume}.
 */
public final class Checkpoint {
    private static final String FORMAT = "crescendo checkpoint 1";

    private final Path file;
    private final Map<String, String> texts;
    private final RunState state;

    private Checkpoint(Path file, Map<String, String> texts, RunState state) {
        this.file = file;
        this.texts = texts;
        this.state = state;
    }

    /**
     * Reads a checkpoint's texts and checks that all of its bytes are as they were written.
     *
     * @throws SafetensorsException if the file is cut off, damaged or something else
     * @throws IllegalArgumentException if it is no checkpoint, or of a version that this one cannot read
     */
    public static Checkpoint read(Path file) throws IOException {
        try (SafetensorsFile content = SafetensorsFile.open(file)) {
            content.verify();
            Map<String, String> texts = content.metadata();
            if (!FORMAT.equals(texts.get("format"))) {
                throw new IllegalArgumentException(
                        file + ": not a checkpoint that this version can read: its format is '" + texts.get("format")
                                + "', not '" + FORMAT + "'");
            }
            try {
                return new Checkpoint(file, texts, RunState.of(texts));
            } catch (IllegalArgumentException e) {
                throw new IllegalArgumentException(file + ": " + e.getMessage(), e);
            }
        }
    }

    /** Where it lies. */
    public Path file() {
        return file;
    }

    /** Parameter updates made before it. */
    public long updates() {
        return state.updates();
    }

    /** Epochs trained before it. */
    public double epochs() {
        return state.epochs();
    }

    /** Number of the update after which the network was last evaluated, 0 if never. */
    public long lastEvaluation() {
        return state.evaluation() == null ? 0 : state.evaluation().update();
    }

    /** What it says of itself, for people: model, data, plan, seed, device and more. */
    public Map<String, String> texts() {
        return Map.copyOf(texts);
    }

    String device() {
        return texts.getOrDefault("device", "");
    }

    RunState state() {
        return state;
    }

    // ---- Numbers

    /** The numbers of a model in training. */
    record Numbers(ModelMemory model, ParameterPack parameters, ParameterPack statistics, UpdateKernel update) {
        private List<ModelFile.Section> sections() {
            List<ModelFile.Section> sections = new ArrayList<>(ModelFile.sections(parameters, statistics, model));
            List<DeviceMemory> state = update.state();
            for (int slot = 0; slot < state.size(); slot++) {
                sections.add(new ModelFile.Section("optimizer." + slot + ".", state.get(slot), parameters));
            }
            return sections;
        }
    }

    static void write(Path file, RunIdentity identity, RunState state, String device, Numbers numbers)
            throws IOException {
        Map<String, String> texts = new LinkedHashMap<>();
        texts.put("format", FORMAT);
        texts.put("device", device);
        texts.putAll(identity.texts());
        texts.putAll(state.toTexts());
        ModelFile.write(file, texts, numbers.sections());
    }

    /**
     * Writes the file's numbers to the device.
     *
     * @throws IllegalArgumentException if the file's tensors are not exactly these, before any is written
     */
    void restore(Numbers numbers) throws IOException {
        try (SafetensorsFile content = SafetensorsFile.open(file)) {
            Map<String, TensorEntry> unused = ModelFile.requireTensors(file, content.tensors(), numbers.sections());
            if (!unused.isEmpty()) {
                throw new IllegalArgumentException(file + ": belongs to another model: this one has no tensor '"
                        + unused.keySet().iterator().next() + "'");
            }
            ModelFile.read(content, numbers.sections());
        }
    }
}
