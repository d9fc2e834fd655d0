package io.crescendo.cli.run;

import io.crescendo.cli.Version;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.CodeSource;
import org.jspecify.annotations.Nullable;

/**
 * Where and with what a run was made.
 *
 * @param crescendo version of the program
 * @param commit of the checkout it was built from, or null if unknown
 * @param java version
 * @param system operating system and architecture
 * @param processors that Java may use
 * @param device what the backend says of itself
 */
public record Environment(
        String crescendo, @Nullable String commit, String java, String system, int processors, String device) {

    /** This program on this machine. */
    public static Environment here(String device) {
        return new Environment(
                Version.number(),
                commitOfCheckout(),
                System.getProperty("java.version") + " (" + System.getProperty("java.vendor") + ")",
                System.getProperty("os.name") + " " + System.getProperty("os.version") + " "
                        + System.getProperty("os.arch"),
                Runtime.getRuntime().availableProcessors(),
                device);
    }

    /** The checkout's commit, read from its files: git itself need not be installed. */
    private static @Nullable String commitOfCheckout() {
        try {
            @Nullable
            CodeSource source = Environment.class.getProtectionDomain().getCodeSource();
            if (source == null || !source.getLocation().getProtocol().equals("file")) {
                return null;
            }
            for (Path folder = Path.of(source.getLocation().toURI()); folder != null; folder = folder.getParent()) {
                Path git = folder.resolve(".git");
                if (Files.exists(git)) {
                    return head(git);
                }
            }
            return null;
        } catch (IOException | UncheckedIOException | URISyntaxException | IllegalArgumentException e) {
            return null; // a record without commit is better than no run
        }
    }

    private static @Nullable String head(Path git) throws IOException {
        Path own = git;
        Path common = git;
        if (Files.isRegularFile(git)) { // a linked work tree
            own = git.resolveSibling(Files.readString(git).strip().replaceFirst("^gitdir: ", ""));
            Path pointer = own.resolve("commondir");
            common = Files.exists(pointer)
                    ? own.resolve(Files.readString(pointer).strip())
                    : own;
        }
        String head = Files.readString(own.resolve("HEAD")).strip();
        if (!head.startsWith("ref: ")) {
            return head;
        }
        String reference = head.substring("ref: ".length());
        Path loose = common.resolve(reference);
        if (Files.exists(loose)) {
            return Files.readString(loose).strip();
        }
        Path packed = common.resolve("packed-refs");
        return Files.exists(packed)
                ? Files.readString(packed)
                        .lines()
                        .filter(line -> line.endsWith(" " + reference))
                        .map(line -> line.substring(0, line.indexOf(' ')))
                        .findFirst()
                        .orElse(null)
                : null;
    }
}
