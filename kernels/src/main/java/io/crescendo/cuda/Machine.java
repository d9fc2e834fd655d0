package io.crescendo.cuda;

import java.nio.file.Path;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Everything outside the program that decides which libraries are found, as a value, so that a test can make one up.
 *
 * @param root what {@code /usr} and {@code /etc} lie in
 * @param environment the environment variables; directories named in them are taken as they are
 * @param home the user's home directory
 * @param platform operating system and processor as Java calls them, for example {@code Linux amd64}
 */
record Machine(Path root, Map<String, String> environment, Path home, String platform) {
    /** The one platform for which JCuda's natives are part of the build. */
    static final String SUPPORTED = "Linux amd64";

    Machine {
        environment = Map.copyOf(environment);
    }

    /** The machine that this program runs on. */
    static Machine here() {
        return new Machine(
                Path.of("/"),
                System.getenv(),
                Path.of(System.getProperty("user.home")),
                System.getProperty("os.name") + " " + System.getProperty("os.arch"));
    }

    boolean supported() {
        return platform.equals(SUPPORTED);
    }

    /** A directory given from the root, {@code usr/lib}, say. */
    Path system(String directory) {
        return root.resolve(directory);
    }

    /** A variable's value; null when it is not set or blank. */
    @Nullable
    String variable(String name) {
        String value = environment.get(name);
        return value == null || value.isBlank() ? null : value;
    }

    /** Where this package keeps files of its own: {@code $XDG_CACHE_HOME/crescendo/cuda}, or below {@code ~/.cache}. */
    Path cache() {
        String cacheHome = variable("XDG_CACHE_HOME");
        // The specification says to ignore a relative path.
        boolean usable = cacheHome != null && Path.of(cacheHome).isAbsolute();
        Path base = cacheHome != null && usable ? Path.of(cacheHome) : home.resolve(".cache");
        return base.resolve("crescendo").resolve("cuda");
    }

    /** Where the redistributable libraries lie when there is no toolkit, one directory per release. */
    Path redistributables() {
        return cache().resolve("redist");
    }
}
