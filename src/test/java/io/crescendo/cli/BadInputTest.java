package io.crescendo.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.backend.DeviceMemoryException;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import picocli.CommandLine.Command;

/** Whatever a user gets wrong is answered by one message that names it, a fitting status and no stack trace. */
class BadInputTest {
    @TempDir
    Path folder;

    static Stream<Arguments> wrongArguments() {
        return Stream.of(
                Arguments.of(List.of("plann"), "unknown command 'plann'; did you mean 'plan'?"),
                Arguments.of(List.of("trian"), "unknown command 'trian'; did you mean 'train'?"),
                Arguments.of(List.of("dance"), "unknown command 'dance'. Known: compare, train, "),
                Arguments.of(List.of("compare", "more"), "unexpected 'more'"),
                Arguments.of(List.of("train", "--sede", "3"), "unknown option '--sede'; did you mean '--seed'?"),
                Arguments.of(List.of("train", "--seed", "x"), "'x' must be a whole number"),
                Arguments.of(List.of("train", "--threads", "1.5"), "'1.5' must be a whole number"),
                Arguments.of(List.of("plan", "--epochs", "1e-9"), "--epochs: learningRate is not possible"),
                Arguments.of(List.of("plan", "--memory", "--json"), "--memory is for people"),
                Arguments.of(List.of("profile", "--batch", "0"), "--batch 0: must be at least 1 sample"),
                Arguments.of(
                        List.of("profile", "--batch", "100000000", "--device", "cpu"),
                        "--batch 100000000: a step runs in one piece here, which holds less than 2 GiB of images, 684784"
                                + " of 1x28x28; ask for fewer"),
                Arguments.of(List.of("profile", "--seconds", "-1"), "--seconds -1.0: must be positive"),
                Arguments.of(List.of("plan", "--presset", "x"), "did you mean '--preset'?"),
                Arguments.of(List.of("plan", "--preset", "cifar10-figur1"), "did you mean 'cifar10-figure1'?"),
                Arguments.of(List.of("plan", "--schedule", "increasng"), "did you mean 'increasing'?"),
                Arguments.of(List.of("plan", "--ragged", "kep"), "did you mean 'keep'?"),
                Arguments.of(List.of("plan", "--epochs", "-3"), "--epochs: epochs must be positive, but is -3.0"),
                Arguments.of(List.of("plan", "--epochs", "many"), "'many' must be a number"),
                Arguments.of(List.of("plan", "--csv", "--json"), "mutually exclusive"),
                Arguments.of(List.of("train", "--schedule", "growing"), "unknown schedule 'growing'"),
                Arguments.of(List.of("train", "--device", "gpu"), "--device gpu: unknown. Known: auto, "),
                Arguments.of(List.of("train", "--device", "cuda:1"), "CUDA_VISIBLE_DEVICES=1 with --device cuda"),
                Arguments.of(List.of("train", "--threads", "-1"), "--threads -1"),
                Arguments.of(List.of("train", "--threads", "100000"), "1 to 1024"),
                Arguments.of(List.of("plan", "--device", "gpu"), "--device gpu: unknown. Known: auto, "),
                Arguments.of(
                        List.of("train", "--precision", "fp16"), "unknown precision 'fp16'. Known: fp32, tf32, bf16"),
                Arguments.of(
                        List.of("train", "--device", "cpu", "--precision", "bf16"),
                        "--precision bf16: only the device 'cuda'"),
                Arguments.of(
                        List.of("compare", "--device", "cpu", "--no-graphs"), "--no-graphs: only the device 'cuda'"),
                Arguments.of(List.of("fetch-cuda", "--repository", "central"), "--repository central"),
                Arguments.of(
                        List.of("train", "--memory-budget", "8 bananas"), "'8 bananas' is not an amount of memory"),
                Arguments.of(List.of("compare", "--seeds", "1,two"), "'two' must be a whole number"),
                Arguments.of(List.of("compare", "--seeds", "1,2", "--seed", "3"), "--seed and --seeds"),
                Arguments.of(List.of("compare", "--seeds", ","), "--seeds: names none"),
                Arguments.of(List.of("train", "--out", ""), "--out: names no folder"),
                Arguments.of(List.of("plot", "no/such/folder"), "no/such/folder: there is no such folder"),
                Arguments.of(List.of("plan", "--config", "no.yaml"), "no.yaml: there is no such file"));
    }

    @ParameterizedTest
    @MethodSource("wrongArguments")
    void isNamedInTheMessage(List<String> arguments, String expected) {
        Run run = Run.of(arguments.toArray(String[]::new));
        assertMessage(run, UserError.USAGE, expected);
    }

    static Stream<Arguments> wrongFiles() {
        return Stream.of(
                Arguments.of("epoch: 3\n", ":2: unknown key 'epoch'; did you mean 'epochs'?"),
                Arguments.of("momentun: 0.5\n", ":2: unknown key 'momentun'; did you mean 'momentum'?"),
                Arguments.of(
                        "learningRate: {schedule: staircase, initial: 1, factr: 2}\n",
                        "unknown key 'learningRate.factr'; did you mean 'factor'?"),
                Arguments.of(
                        "learningRate: {schedule: constant, initial: 0,03}\n",
                        "unknown key 'learningRate.03'; numbers are written with a point, as in 0.03"),
                Arguments.of("momentum: 1.0\n", ":2: momentum must be in [0, 1), but is 1.0"),
                Arguments.of("momentum: -0.1\n", ":2: momentum must be in [0, 1)"),
                Arguments.of("momentum:\n", ":2: momentum has no value"),
                Arguments.of("momentum: null\n", ":2: momentum has no value"),
                Arguments.of(
                        "seed: 99999999999999999999\n",
                        ":2: seed is 99999999999999999999, but must be a whole number from -9223372036854775808 to"
                                + " 9223372036854775807"),
                Arguments.of(
                        "ghostBatch: 3000000000\n",
                        ":2: ghostBatch is 3000000000, but must be a whole number from -2147483648 to 2147483647"),
                Arguments.of("seed: .nan\n", ":2: seed is .nan, but must be a finite number"),
                Arguments.of(
                        "learningRate: {schedule: constant, initial: -.inf}\n",
                        ":2: learningRate.initial is -.inf, but must be a finite number"),
                Arguments.of(
                        "learningRate: {schedule: staircase, initial: 1, factor: 0.2, epochs: [3, .nan]}\n",
                        ":2: learningRate.epochs.[1] is .nan, but must be a finite number"),
                Arguments.of("epochs: 1e400\n", ":2: epochs must be finite, but is beyond the largest number"),
                Arguments.of("batch: many\n", "batch is 'many', but must be a whole number"),
                Arguments.of("batch: 9000\n", "batch is 9000, which is more than the data set's 8000 training samples"),
                Arguments.of("batch: 32\nbatch: 64\n", "Duplicate field 'batch'"),
                Arguments.of(
                        "optimizer: sgd\nraiseMomentum: 0.95\n", ":3: raiseMomentum is 0.95, but the optimizer sgd"),
                Arguments.of(
                        "batch: [1, 2\n\n",
                        ":4: not readable as YAML: expected ',' or ']', but got <stream end> while parsing a flow sequence,"
                                + " which began on line 2"),
                Arguments.of(
                        "batch: [", ":2: not readable as YAML: expected the node content, but found '<stream end>'"),
                Arguments.of(
                        "epochs: 3\n\tbatch: 3\n", ":3: not readable as YAML: found character '\\t(TAB)' that cannot"),
                Arguments.of("epochs: 3\n batch: 3\n", ":3: not readable as YAML: mapping values are not allowed here"),
                Arguments.of("epochs: 3\nname: \1\n", ":3: not readable as YAML: the character U+0001 is not allowed"),
                Arguments.of("- a list\n", "expected keys and values"),
                Arguments.of("optimizer: addam\n", "did you mean 'adam'?"),
                Arguments.of("hybridSteps: 7\n", "hybridSteps is 7: the first 7 decays"),
                Arguments.of(
                        "batchCap: 8\n", "batchCap is 8: the cap of 8 samples is below the first batch of 32; raise"),
                Arguments.of(
                        "batchCap: 8\nhybridSteps: 0\n",
                        "batchCap is 8: the cap of 8 samples is below the first batch"),
                Arguments.of(
                        "scaleLearningRate: 500\n",
                        "decaying: scaleLearningRate is 500.0: batch 16000 at epoch 0 (32 before"),
                Arguments.of(
                        "raiseMomentum: 0.9999\n", "decaying: raiseMomentum is 0.9999: batch 32000 at epoch 0 (32"),
                Arguments.of(
                        "scaleLearningRate: 0.5\nraiseMomentum: 0.9999\n",
                        "decaying: raiseMomentum is 0.9999: batch 16000 at epoch 0 (32"),
                Arguments.of(
                        "scaleLearningRate: 100\n",
                        "hybrid: batchCap is 800, scaleLearningRate is 100.0: the cap of 800 samples is"
                                + " below the first batch of 3200 (32 before"),
                Arguments.of(
                        "batch: 1000\nbatchCap: null\n", "hybrid: batchCap is 800 by default: the cap of 800 samples"),
                Arguments.of(
                        "scaleLearningRate: 5\nbatchCap: 9000\n",
                        "increasing: batch 9000 at epoch 12 is larger than the training set"),
                Arguments.of("learningRate: {schedule: cosine, initial: 0.1, factor: 3}\n", "factor has no meaning"),
                Arguments.of("learningRate: {schedule: staircase, initial: 0.1, factor: 3}\n", "epochs is missing"),
                Arguments.of("learningRate: {schedule: cosin, initial: 0.1}\n", "did you mean 'cosine'?"),
                Arguments.of("name: ../up\n", "cannot name a folder"));
    }

    @ParameterizedTest
    @MethodSource("wrongFiles")
    void isNamedWithFileAndLine(String yaml, String expected) throws IOException {
        Path file = folder.resolve("my.yaml");
        Files.writeString(file, "# a comment on line 1\n" + yaml);
        Run run = Run.of("plan", "--preset", "fashion-mini-quick", "--config", file.toString());
        assertMessage(run, UserError.USAGE, expected);
        assertTrue(run.err().contains("my.yaml"), run.err());
        assertEquals("", run.out(), "nothing is shown of a plan that cannot be");
    }

    @Test
    void namesTheKeyOfAPaddingThatDoesNotFit() throws IOException {
        Path file = folder.resolve("my.yaml");
        Files.writeString(file, "augmentation: {flip: true, pad: 30}\n");
        Path out = folder.resolve("out");
        Run run =
                Run.of("train", "--preset", "fashion-mini-quick", "--config", file.toString(), "--out", out.toString());
        assertMessage(
                run, UserError.USAGE, "augmentation.pad is 30, but the images of data set 'fashion-mini' are 28x28");
        assertFalse(Files.exists(out));
    }

    @Test
    void namesTheModelAndListsTheKnownOnes() throws IOException {
        Path file = folder.resolve("my.yaml");
        Files.writeString(file, "model: fashion-cn\n");
        Run run = Run.of(
                "train",
                "--preset",
                "fashion-mini-quick",
                "--config",
                file.toString(),
                "--out",
                out("never").toString());
        assertEquals(UserError.USAGE, run.status());
        assertTrue(
                run.err().contains("is unknown; did you mean 'fashion-cnn'?")
                        && run.err().contains("wide-resnet"),
                run.err());
        assertFalse(Files.exists(out("never")), "nothing is created before the input is sound");
    }

    @Test
    void namesTheDataSetAndListsTheKnownOnes() throws IOException {
        Path file = folder.resolve("my.yaml");
        Files.writeString(file, "dataset: imagenett\n");
        String[] config = {"--preset", "imagenet-resnet50-large", "--config", file.toString()};
        Run train = Run.of("train", config[0], config[1], config[2], config[3]);
        assertMessage(train, UserError.USAGE, "data set 'imagenett' of 'imagenet-resnet50-large' cannot be loaded");
        assertTrue(train.err().contains("did you mean 'imagenet'?"), train.err());
        Run plan = Run.of("plan", "--memory", config[0], config[1], config[2], config[3]);
        assertEquals(UserError.USAGE, plan.status());
        assertTrue(plan.err().contains("the images of data set 'imagenett'"), plan.err());
    }

    /** As many classes as ImageNet has, an image each. */
    @Test
    void refusesAnImageNetThatIsNotWhole() throws IOException {
        for (String part : List.of("train", "val")) {
            for (int label = 1; label <= 1000; label++) {
                Path directory = Files.createDirectories(folder.resolve(part).resolve(String.format("n%08d", label)));
                Files.createFile(directory.resolve("1.JPEG"));
            }
        }
        Run run = Run.of("train", "--preset", "imagenet-resnet50-increasing", "--data", folder.toString());
        assertMessage(run, UserError.USAGE, "trainingSamples is 1281167, but data set 'imagenet' has 1000");
    }

    @Test
    void refusesTrainingSamplesThatAreNotThere() throws IOException {
        Path file = folder.resolve("my.yaml");
        Files.writeString(file, "trainingSamples: 7000\nbatch: 10\nbatchCap: 100\n");
        Run run = Run.of("train", "--preset", "fashion-mini-quick", "--config", file.toString());
        assertMessage(run, UserError.USAGE, "trainingSamples is 7000, but data set 'fashion-mini' has 8000");
    }

    @Test
    void findsAnUnwritableFolderBeforeTraining() throws IOException {
        Path file = folder.resolve("file");
        Files.writeString(file, "in the way");
        Run run = Run.of("compare", "--out", file.resolve("below").toString());
        assertMessage(run, UserError.USAGE, file + " is a file");
        assertFalse(run.out().contains("epoch"), run.out());
    }

    @Test
    void namesTheMissingDataFolder() {
        Run run =
                Run.of("train", "--preset", "fashion-wrn", "--data", out("none").toString());
        assertMessage(run, UserError.FAILURE, "--data " + out("none"));
    }

    @Command(name = "greedy")
    static final class Greedy implements Runnable {
        @Override
        public void run() {
            throw new OutOfMemoryError("Java heap space");
        }
    }

    @Test
    void explainsThatMemoryIsUsedUp() {
        StringWriter err = new StringWriter();
        int status = Main.commandLine()
                .addSubcommand(new Greedy())
                .setErr(new PrintWriter(err, true))
                .execute("greedy");
        assertMessage(new Run(status, "", err.toString()), UserError.FAILURE, "out of memory (Java heap space); split");
    }

    @Command(name = "large")
    static final class Large implements Runnable {
        @Override
        public void run() {
            throw DeviceMemoryException.ofPack("there is no room", 4, new OutOfMemoryError())
                    .withPurpose("the model's weights");
        }
    }

    @Test
    void saysInOneLineThatAPackDoesNotFit() {
        StringWriter err = new StringWriter();
        int status = Main.commandLine()
                .addSubcommand(new Large())
                .setErr(new PrintWriter(err, true))
                .execute("large");
        assertMessage(
                new Run(status, "", err.toString()),
                UserError.FAILURE,
                "crescendo: no memory for the model's weights: there is no room; ");
        assertEquals(1, err.toString().lines().count(), err.toString());
    }

    @Test
    void showsAStackTraceOnRequest() {
        assertTrue(Run.of("plan", "--preset", "x", "--stacktrace").err().contains("\tat "));
    }

    private Path out(String name) {
        return folder.resolve(name);
    }

    private static void assertMessage(Run run, int status, String expected) {
        assertEquals(status, run.status(), run.err());
        assertTrue(run.err().contains(expected), () -> "expected '" + expected + "' in: " + run.err());
        assertFalse(run.err().contains("\tat ") || run.err().contains("Exception"), run.err());
        assertFalse(run.err().contains("internal error"), run.err());
    }
}
