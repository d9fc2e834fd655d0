package io.crescendo.bench.peers;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import io.crescendo.bench.Machine;
import io.crescendo.bench.TrainingStep;
import io.crescendo.cli.figures.Curve;
import io.crescendo.cli.figures.Figure;
import io.crescendo.cli.figures.FigureFiles;
import io.crescendo.cli.figures.Panel;
import io.crescendo.cli.run.Environment;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** A record as far as a program can write it: config.json, raw/ and figures/, without this machine's folders. */
final class Folder {
    private static final Gson JSON =
            new GsonBuilder().setPrettyPrinting().disableHtmlEscaping().create();

    private final Arguments arguments;
    private final List<String> args;

    Folder(Arguments arguments, List<String> args) {
        this.arguments = arguments;
        this.args = args;
    }

    void begin(Machine machine) throws IOException {
        Files.createDirectories(arguments.folder().resolve("raw"));
        Map<String, Object> config = new LinkedHashMap<>();
        config.put("command", command());
        config.put("commit", Environment.here("").commit());
        config.put("engines", arguments.engines());
        config.put(
                arguments.growth().isEmpty() ? "cases" : "growth",
                arguments.growth().isEmpty() ? arguments.cases() : arguments.growth());
        config.put("rounds", arguments.rounds());
        if (arguments.growth().isEmpty()) {
            config.put("secondsPerSample", arguments.seconds());
        }
        config.put("limitSeconds", arguments.limitSeconds());
        config.put("threads", arguments.threads());
        config.put("prefix", String.join(" ", arguments.prefix()));
        config.put("dtype", "float32");
        config.put("optimizer", "momentum");
        config.put("learningRate", TrainingStep.LEARNING_RATE);
        config.put("momentum", TrainingStep.MOMENTUM);
        config.put("weightDecay", TrainingStep.WEIGHT_DECAY);
        config.put("ghostBatch", "the whole batch");
        write("config.json", JSON.toJson(config));
        write("raw/machine.json", JSON.toJson(machine));
    }

    /** After each sample: a run that is interrupted keeps what it measured. */
    void keep(Object results, String table) throws IOException {
        write("raw/results.json", JSON.toJson(results));
        write("raw/table.md", table.strip());
    }

    /** Throughput against the batch, one panel per network. */
    void draw(List<Sample> samples) throws IOException {
        Map<String, Map<String, TreeMap<Integer, List<Double>>>> byNetwork = new LinkedHashMap<>();
        for (Sample sample : samples) {
            byNetwork
                    .computeIfAbsent(sample.network(), n -> new LinkedHashMap<>())
                    .computeIfAbsent(sample.engine(), e -> new TreeMap<>())
                    .computeIfAbsent(sample.batch(), b -> new ArrayList<>())
                    .add(sample.imagesPerSecond());
        }
        List<Panel> panels = new ArrayList<>();
        byNetwork.forEach((network, engines) -> {
            List<Curve> curves = new ArrayList<>();
            engines.forEach((engine, rates) -> curves.add(new Curve(
                    engine,
                    rates.entrySet().stream()
                            .map(e -> new Curve.Point(
                                    e.getKey(),
                                    Sample.median(e.getValue().stream()
                                            .mapToDouble(Double::doubleValue)
                                            .toArray())))
                            .toList())));
            panels.add(new Panel(network, "batch (logarithmic)", "images/s", true, true, true, curves));
        });
        if (!panels.isEmpty()) {
            Path figures = Files.createDirectories(arguments.folder().resolve("figures"));
            String fault = new FigureFiles(figures)
                    .write(List.of(Figure.of("throughput", "Training throughput of every engine.", panels)))
                    .pngFault();
            if (fault != null) {
                System.err.println(fault);
            }
        }
    }

    /** As it can be repeated elsewhere. */
    private String command() {
        List<String> words = new ArrayList<>(
                List.of("bench/peers/run", "out/" + arguments.folder().getFileName()));
        args.stream()
                .skip(1)
                .map(arg -> arg.contains(" ") ? "'" + arg + "'" : arg)
                .forEach(words::add);
        return String.join(" ", words);
    }

    private void write(String file, String text) throws IOException {
        String clean = text;
        // What failed says where it lay.
        for (String folder : List.of("user.dir", "user.home", "java.home", "java.io.tmpdir")) {
            String path = System.getProperty(folder, "");
            if (path.length() > 1) {
                clean = clean.replace(path + "/", "");
            }
        }
        Files.writeString(arguments.folder().resolve(file), clean + "\n");
    }
}
