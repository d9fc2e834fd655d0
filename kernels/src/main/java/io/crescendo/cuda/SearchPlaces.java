package io.crescendo.cuda;

import java.io.IOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;

/**
 * The directories in which CUDA's libraries may lie, in the order in which they are searched.
 *
 * <p>Only file names are looked at: no program is started, so the pythons on the PATH are not asked where they keep
 * their packages; it follows from where they lie.
 */
final class SearchPlaces {
    /** Why a directory is searched. */
    enum Origin {
        LOADER("loader path"),
        CUDA_VARIABLE("CUDA_HOME, CUDA_PATH"),
        TOOLKIT("/usr/local/cuda*"),
        PYTHON("pip and conda packages of the pythons on the PATH"),
        CACHE("redistributable in the cache");

        private final String title;

        Origin(String title) {
            this.title = title;
        }

        String title() {
            return title;
        }
    }

    /**
     * One directory, which exists.
     *
     * @param chosen whether the user has named it, or the toolkit that it belongs to, in an environment variable
     */
    record Place(Origin origin, Path directory, boolean chosen) {}

    private static final String LIBRARY_VARIABLE = "LD_LIBRARY_PATH";
    private static final List<String> TOOLKIT_VARIABLES = List.of("CUDA_HOME", "CUDA_PATH");
    private static final List<String> TOOLKIT_DIRECTORIES = List.of("lib64", "targets/x86_64-linux/lib", "lib");

    /** Deep enough for any real configuration; ends one that includes itself. */
    private static final int MAX_INCLUDES = 8;

    private final Machine machine;
    private final List<Place> places = new ArrayList<>();
    private final Set<Path> seen = new LinkedHashSet<>();
    private final Set<Path> chosen = new LinkedHashSet<>();

    private SearchPlaces(Machine machine) {
        this.machine = machine;
        pathVariable(machine, LIBRARY_VARIABLE).forEach(directory -> chosen.add(real(directory)));
        for (String variable : TOOLKIT_VARIABLES) {
            for (Path toolkit : pathVariable(machine, variable)) {
                TOOLKIT_DIRECTORIES.forEach(directory -> chosen.add(real(toolkit.resolve(directory))));
            }
        }
    }

    /** The directories that exist on a machine, each once, under the first reason to search it. */
    static List<Place> of(Machine machine) {
        SearchPlaces search = new SearchPlaces(machine);
        search.loaderPath();
        search.cudaVariables();
        search.toolkits();
        search.pythons();
        search.redistributables();
        return List.copyOf(search.places);
    }

    /** What the dynamic linker searches: its variable, its configuration, its built-in directories. */
    private void loaderPath() {
        for (Path directory : pathVariable(machine, LIBRARY_VARIABLE)) {
            add(Origin.LOADER, directory);
        }
        loaderConfiguration(machine.system("etc/ld.so.conf"), 0);
        for (String directory :
                List.of("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib64", "lib", "usr/lib")) {
            add(Origin.LOADER, machine.system(directory));
        }
        // Where containers are given the host's driver; some set LD_LIBRARY_PATH for a login shell only.
        for (String directory : List.of("usr/local/nvidia/lib64", "usr/local/nvidia/lib", "usr/lib/wsl/lib")) {
            add(Origin.LOADER, machine.system(directory));
        }
    }

    private void loaderConfiguration(Path file, int depth) {
        List<String> lines;
        try {
            lines = Files.readAllLines(file);
        } catch (IOException e) {
            return; // not there, not readable or not text: nothing to learn from it
        }
        for (String raw : lines) {
            String line = raw.replaceFirst("#.*", "").strip();
            if (line.startsWith("include ") && depth < MAX_INCLUDES) {
                Path pattern = Path.of(line.substring("include ".length()).strip());
                Path named = pattern.isAbsolute() ? inRoot(pattern) : file.resolveSibling(pattern);
                Path directory = named.getParent();
                if (directory != null) {
                    for (Path included : list(directory, String.valueOf(named.getFileName()))) {
                        loaderConfiguration(included, depth + 1);
                    }
                }
            } else if (line.startsWith("/")) {
                add(Origin.LOADER, inRoot(Path.of(line)));
            }
        }
    }

    private void cudaVariables() {
        namedToolkits(machine).forEach(toolkit -> toolkit(Origin.CUDA_VARIABLE, toolkit));
    }

    /** The toolkits that the environment names, whether they are there or not. */
    static Stream<Path> namedToolkits(Machine machine) {
        return TOOLKIT_VARIABLES.stream().flatMap(variable -> pathVariable(machine, variable).stream());
    }

    private void toolkits() {
        // "cuda" is the one that the administrator chose; of the others, newer ones first.
        List<Path> all = new ArrayList<>(list(machine.system("usr/local"), "cuda*"));
        all.sort(Comparator.comparing(
                        (Path path) -> !String.valueOf(path.getFileName()).equals("cuda"))
                .thenComparing(Comparator.comparing(SearchPlaces::release).reversed()));
        all.forEach(toolkit -> toolkit(Origin.TOOLKIT, toolkit));
    }

    /** For sorting: the digits of {@code cuda-12.6} as 12006; a name without any counts as the oldest. */
    private static int release(Path toolkit) {
        String[] parts =
                String.valueOf(toolkit.getFileName()).replaceAll("[^0-9.]", "").split("\\.", -1);
        int release = 0;
        for (int i = 0; i < 2; i++) {
            // Four digits are more than any release has and keep a strange name from overflowing.
            boolean number = i < parts.length && parts[i].matches("\\d{1,4}");
            release = release * 1000 + (number ? Integer.parseInt(parts[i]) : 0);
        }
        return release;
    }

    private void toolkit(Origin origin, Path toolkit) {
        for (String directory : TOOLKIT_DIRECTORIES) {
            add(origin, toolkit.resolve(directory));
        }
    }

    private void pythons() {
        for (String variable : List.of("VIRTUAL_ENV", "CONDA_PREFIX")) {
            pathVariable(machine, variable).forEach(this::python);
        }
        for (Path directory : pathVariable(machine, "PATH")) {
            Path parent = directory.getParent();
            if (parent == null) {
                continue;
            }
            if (String.valueOf(directory.getFileName()).equals("shims")) {
                list(parent.resolve("versions"), "*").forEach(this::python); // pyenv
            }
            for (String name : List.of("python3", "python")) {
                Path executable = directory.resolve(name);
                if (Files.isExecutable(executable)) {
                    links(executable).forEach(this::pythonOf);
                }
            }
        }
        python(machine.home().resolve(".local"));
        python(machine.system("usr/local"));
    }

    /** The packages of a python by its executable, {@code prefix/bin/python3}. */
    private void pythonOf(Path executable) {
        Path directory = executable.getParent();
        if (directory != null && directory.getParent() != null) {
            python(directory.getParent());
        }
    }

    /**
     * A file and what it links to, link by link: a virtual environment's python is a link out of it, and may itself be
     * what a link on the PATH points to.
     */
    private static Set<Path> links(Path file) {
        Set<Path> links = new LinkedHashSet<>();
        Path at = file;
        try {
            while (links.add(at) && Files.isSymbolicLink(at)) {
                // A relative target counts from where the link really lies.
                Path directory = real(at.resolveSibling(""));
                at = directory.resolve(Files.readSymbolicLink(at)).normalize();
            }
        } catch (IOException e) {
            return links; // what was found until here
        }
        links.add(real(file));
        return links;
    }

    /** The packages of a python installed at {@code prefix}. */
    private void python(Path prefix) {
        if (Files.isDirectory(prefix.resolve("conda-meta"))) {
            add(Origin.PYTHON, prefix.resolve("lib"));
        }
        for (String library : List.of("lib", "lib64")) {
            for (Path python : list(prefix.resolve(library), "python3*")) {
                for (String packages : List.of("site-packages", "dist-packages")) {
                    for (Path component : list(python.resolve(packages).resolve("nvidia"), "*")) {
                        add(Origin.PYTHON, component.resolve("lib"));
                    }
                }
            }
        }
    }

    private void redistributables() {
        for (Path release : list(machine.redistributables(), "*")) {
            add(Origin.CACHE, release);
            // As the jar holds them, so that unpacking it is enough.
            add(Origin.CACHE, release.resolve("org/bytedeco/cuda/linux-x86_64"));
        }
    }

    private void add(Origin origin, Path directory) {
        // /usr/local/cuda is a link to one of its neighbours, and /lib to /usr/lib: search each once.
        if (Files.isDirectory(directory) && seen.add(real(directory))) {
            places.add(new Place(origin, directory, chosen.contains(real(directory))));
        }
    }

    /** Where a configuration file's absolute path lies below the machine's root. */
    private Path inRoot(Path absolute) {
        Path top = absolute.getRoot();
        return top == null ? absolute : machine.root().resolve(top.relativize(absolute));
    }

    /** The absolute directories named in a variable, in order. */
    private static List<Path> pathVariable(Machine machine, String name) {
        String value = machine.variable(name);
        if (value == null) {
            return List.of();
        }
        List<Path> directories = new ArrayList<>();
        for (String part : value.split(":", -1)) {
            try {
                Path directory = Path.of(part);
                if (directory.isAbsolute()) {
                    directories.add(directory.normalize());
                }
            } catch (InvalidPathException e) {
                // cannot be a directory
            }
        }
        return directories;
    }

    private static Path real(Path path) {
        try {
            return path.toRealPath();
        } catch (IOException e) {
            return path;
        }
    }

    /** What matches a pattern in a directory, sorted by name; nothing where the directory cannot be read. */
    static List<Path> list(Path directory, String pattern) {
        List<Path> found = new ArrayList<>();
        try (DirectoryStream<Path> stream = Files.newDirectoryStream(directory, pattern)) {
            stream.forEach(found::add);
        } catch (IOException | DirectoryIteratorException e) {
            return List.of();
        }
        return found.stream().sorted().toList();
    }

    /** The directories of one origin, for messages. */
    static Stream<Path> directories(List<Place> places, Origin origin) {
        return places.stream().filter(place -> place.origin() == origin).map(Place::directory);
    }
}
