package io.crescendo.train;

import io.crescendo.autograd.Program;
import io.crescendo.backend.DeviceMemory;
import io.crescendo.backend.ModelMemory;
import io.crescendo.safetensors.SafetensorsException;
import io.crescendo.safetensors.SafetensorsFile;
import io.crescendo.safetensors.SafetensorsWriter;
import io.crescendo.safetensors.TensorEntry;
import io.crescendo.tensor.DType;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Weights and running statistics in a safetensors file, each tensor by its parameter's name: for evaluating or using a
 * trained model, starting another training from it, or handing it to other tools.
 *
 * <pre>{@code
 * Program program = network.inferenceProgram(1, 0, Set.of());      // any program of the network has these parameters
 * ModelFile.write(Path.of("model.safetensors"), program, trainer.model(), Map.of("model", network.name()));
 * ModelFile.read(Path.of("model.safetensors"), program, otherModel); // a Checkpoint's file will do as well
 * }</pre>
 */
public final class ModelFile {
    private ModelFile() {}

    /** A pack on the device, and what its tensors' names begin with in a file. */
    record Section(String prefix, DeviceMemory memory, ParameterPack pack) {
        private String name(Parameter parameter) {
            return prefix + parameter.name();
        }
    }

    /**
     * Writes a model to a file, which appears whole or not at all.
     *
     * @param program of the model's network; says where each tensor lies in the packs
     * @param texts for people and other tools, by keys of their own
     */
    public static void write(Path file, Program program, ModelMemory model, Map<String, String> texts)
            throws IOException {
        write(file, texts, sections(program.parameters(), program.statistics(), model));
    }

    /**
     * Reads a model from a file. Tensors that the network does not have, such as the optimizer's in a checkpoint, are
     * passed over.
     *
     * @param program of the model's network
     * @throws IllegalArgumentException if a tensor of the network is missing or has another shape; the model is as
     *     before then
     * @throws SafetensorsException if the file is cut off, damaged or something else
     */
    public static void read(Path file, Program program, ModelMemory model) throws IOException {
        try (SafetensorsFile content = SafetensorsFile.open(file)) {
            content.verify();
            List<Section> sections = sections(program.parameters(), program.statistics(), model);
            requireTensors(file, content.tensors(), sections);
            read(content, sections);
        }
    }

    static List<Section> sections(ParameterPack parameters, ParameterPack statistics, ModelMemory model) {
        return List.of(new Section("", model.weights(), parameters), new Section("", model.statistics(), statistics));
    }

    static void write(Path file, Map<String, String> texts, List<Section> sections) throws IOException {
        List<TensorEntry> layout = new ArrayList<>();
        for (Section section : sections) {
            for (Parameter parameter : section.pack().parameters()) {
                layout.add(new TensorEntry(
                        section.name(parameter), section.memory().dtype(), parameter.shape()));
            }
        }
        try (SafetensorsWriter writer = SafetensorsWriter.create(file, texts, layout)) {
            for (Section section : sections) {
                for (Parameter parameter : section.pack().parameters()) {
                    int elements = Math.toIntExact(parameter.shape().elements());
                    if (section.memory().dtype() == DType.FLOAT64) {
                        double[] values = new double[elements];
                        section.memory().read(parameter.offset(), values);
                        writer.append(values);
                    } else {
                        float[] values = new float[elements];
                        section.memory().read(parameter.offset(), values);
                        writer.append(values);
                    }
                }
            }
            writer.commit();
        }
    }

    static void read(SafetensorsFile content, List<Section> sections) throws IOException {
        for (Section section : sections) {
            for (Parameter parameter : section.pack().parameters()) {
                int elements = Math.toIntExact(parameter.shape().elements());
                if (section.memory().dtype() == DType.FLOAT64) {
                    double[] values = new double[elements];
                    content.read(section.name(parameter), values);
                    section.memory().write(parameter.offset(), values);
                } else {
                    float[] values = new float[elements];
                    content.read(section.name(parameter), values);
                    section.memory().write(parameter.offset(), values);
                }
            }
        }
    }

    /**
     * The file's tensors that no section asks for.
     *
     * @throws IllegalArgumentException if one that a section asks for is missing or has another shape
     */
    static Map<String, TensorEntry> requireTensors(Path file, Map<String, TensorEntry> found, List<Section> sections) {
        Map<String, TensorEntry> unused = new LinkedHashMap<>(found);
        for (Section section : sections) {
            for (Parameter parameter : section.pack().parameters()) {
                String name = section.name(parameter);
                TensorEntry entry = unused.remove(name);
                if (entry == null) {
                    throw new IllegalArgumentException(
                            file + ": belongs to another model: it holds no tensor '" + name + "'");
                }
                if (!entry.shape().equals(parameter.shape())) {
                    throw new IllegalArgumentException(file + ": belongs to another model: its '" + name + "' is "
                            + entry.shape() + ", this model's is " + parameter.shape());
                }
            }
        }
        return unused;
    }
}
