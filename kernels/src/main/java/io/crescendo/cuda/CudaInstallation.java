package io.crescendo.cuda;

import io.crescendo.backend.LibraryReport.Entry;
import io.crescendo.cuda.Finding.Found;
import io.crescendo.cuda.Finding.Missing;
import io.crescendo.cuda.SearchPlaces.Origin;
import io.crescendo.cuda.SearchPlaces.Place;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.OptionalInt;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * The CUDA libraries of a machine: which there are, where, of which version, and what to do about the others.
 *
 * <p>The libraries of the toolkit (NVRTC, cuBLAS) are taken from one major version. CUDA 12 is what JCuda is linked
 * against and comes first; CUDA 13 is taken when only it is complete, and JCuda's natives are then relinked. Of several
 * files of one library the first in a directory that the user has chosen is taken, else the newest: it knows the device
 * best. The order of the places decides only between files whose version nothing tells.
 *
 * @param machine where it was searched
 * @param cudaMajor 12 or 13
 * @param findings one for each {@link CudaLibrary}, in the order in which they are to be loaded
 * @param places the directories that were searched
 */
record CudaInstallation(Machine machine, int cudaMajor, List<Finding> findings, List<Place> places) {
    /** The CUDA version that JCuda's natives are linked against. */
    static final int JCUDA_MAJOR = 12;

    private static final List<Integer> MAJORS = List.of(JCUDA_MAJOR, 13);

    /** CUDA 12 and the cuDNN that belong to JCuda 12.6. */
    private static final String REDISTRIBUTABLE = "org.bytedeco:cuda:12.6-9.5-1.5.11:jar:linux-x86_64-redist";

    CudaInstallation {
        findings = List.copyOf(findings);
        places = List.copyOf(places);
    }

    /** Searches a machine. Reads directories and the heads of libraries; loads and starts nothing. */
    static CudaInstallation search(Machine machine) {
        List<Place> places = SearchPlaces.of(machine);
        return MAJORS.stream()
                .map(major -> of(machine, major, places))
                // The first of those that can be used; else the one that misses least.
                .min(Comparator.comparing((CudaInstallation installation) -> !installation.usable())
                        .thenComparing(installation -> installation.missing().size()))
                .orElseThrow();
    }

    private static CudaInstallation of(Machine machine, int cudaMajor, List<Place> places) {
        List<Finding> findings = Stream.of(CudaLibrary.values())
                .map(library -> find(library, cudaMajor, places))
                .toList();
        return new CudaInstallation(machine, cudaMajor, findings, places);
    }

    /** Whether every library is here and they fit each other, this machine and JCuda. */
    boolean usable() {
        return problems().isEmpty();
    }

    List<Found> found() {
        return findings.stream()
                .filter(Found.class::isInstance)
                .map(Found.class::cast)
                .toList();
    }

    List<Missing> missing() {
        return findings.stream()
                .filter(Missing.class::isInstance)
                .map(Missing.class::cast)
                .toList();
    }

    /** Why the libraries cannot be used, a line each; none if they can. */
    List<String> problems() {
        List<String> problems = new ArrayList<>();
        if (!machine.supported()) {
            problems.add("this machine is '" + machine.platform() + "', JCuda's natives are for '" + Machine.SUPPORTED
                    + "' (Linux on x86-64)");
        }
        for (Missing missing : missing()) {
            problems.add(missing.library().title() + " " + missing.describe());
        }
        OptionalInt release = driverRelease();
        if (release.isPresent() && release.getAsInt() < oldestDriver()) {
            problems.add("the driver is release " + release.getAsInt() + ", CUDA " + cudaMajor + " needs "
                    + oldestDriver() + " or newer; update the driver"
                    + (cudaMajor > JCUDA_MAJOR ? " or install CUDA " + JCUDA_MAJOR + "'s libraries" : ""));
        }
        return problems;
    }

    /** {@link #problems} without those of libraries that are not there. */
    private List<String> otherProblems() {
        return problems().stream()
                .filter(problem -> missing().stream()
                        .noneMatch(m -> problem.equals(m.library().title() + " " + m.describe())))
                .toList();
    }

    /** The whole result for people: each library, what is wrong, and, if something is missing, where it was sought. */
    List<Entry> report() {
        List<Entry> lines = new ArrayList<>();
        for (Finding finding : findings) {
            lines.add(new Entry(finding.library().title(), finding.describe()));
        }
        // What is missing stands in the lines above.
        int missing = missing().size();
        List<String> others = otherProblems();
        if (!others.isEmpty()) {
            lines.add(new Entry("problem", String.join("\n", others)));
        }
        if (missing > 0) {
            lines.add(new Entry("searched", searched()));
            lines.add(new Entry("to get", remedy()));
        }
        return lines;
    }

    /** Everything in {@link #report} as one text, for an error's message. */
    String explain() {
        return report().stream()
                .map(entry -> entry.name() + ": " + entry.detail().replace("\n", "\n  "))
                .collect(Collectors.joining("\n"));
    }

    private String searched() {
        return Stream.of(Origin.values())
                .map(origin -> origin.title() + ": "
                        + SearchPlaces.directories(places, origin)
                                .map(Path::toString)
                                .collect(Collectors.collectingAndThen(
                                        Collectors.joining(", "), list -> list.isEmpty() ? nothing(origin) : list)))
                .collect(Collectors.joining("\n"));
    }

    private String nothing(Origin origin) {
        if (origin == Origin.CUDA_VARIABLE) {
            List<Path> named = SearchPlaces.namedToolkits(machine).toList();
            List<Path> wrong = named.stream()
                    .filter(toolkit -> !Files.isDirectory(toolkit))
                    .toList();
            if (named.isEmpty() || !wrong.isEmpty()) {
                return named.isEmpty() ? "not set" : "not there: " + wrong.get(0);
            }
        }
        return "no directory that is not listed already";
    }

    private String remedy() {
        List<String> ways = new ArrayList<>();
        boolean driver = missing().stream().anyMatch(missing -> missing.library() == CudaLibrary.DRIVER);
        if (driver) {
            ways.add("driver: install NVIDIA's driver, release " + oldestDriver()
                    + " or newer (in a container, start it" + " with GPU support)");
        }
        if (missing().size() > (driver ? 1 : 0)) {
            ways.add("the others: pip install nvidia-cuda-nvrtc-cu12 nvidia-cublas-cu12 nvidia-cudnn-cu12;");
            ways.add("or set CUDA_HOME to a CUDA 12 or 13 toolkit that has cuDNN 9 in it;");
            ways.add("or download 2 GB: crescendo fetch-cuda (into "
                    + machine.redistributables().resolve(CudaRedistributable.RELEASE) + ");");
            ways.add("or, where only Maven reaches the network, before that: mvn dependency:get -Dtransitive=false"
                    + " -Dartifact=" + REDISTRIBUTABLE + " (in a checkout: mvn -Pfetch-cuda -pl kernels -am validate)");
        }
        return String.join("\n", ways);
    }

    /** Source: NVIDIA, CUDA Compatibility, "Minor Version Compatibility". */
    private int oldestDriver() {
        return cudaMajor == JCUDA_MAJOR ? 525 : 580;
    }

    /** The driver's release as its file name tells it: 550 for {@code libcuda.so.550.54.15}. */
    private OptionalInt driverRelease() {
        return found().stream()
                .filter(found -> found.library() == CudaLibrary.DRIVER)
                .map(found -> found.version().replaceFirst("\\..*", ""))
                // libcuda.so.1 on its own is not release 1.
                .filter(release -> release.matches("\\d{3,4}"))
                .mapToInt(Integer::parseInt)
                .findFirst();
    }

    /** A usable file, and how it compares with others of its name. */
    private record Candidate(Found found, LibraryVersion version, boolean chosen) {
        /**
         * What the user has chosen comes before what was built for this CUDA version, and that before what is newer.
         */
        boolean isBetterThan(Candidate other) {
            if (chosen || other.chosen) {
                return chosen && !other.chosen;
            }
            boolean fits = !version.isForAnother(found.cudaMajor());
            boolean otherFits = !other.version.isForAnother(found.cudaMajor());
            return fits == otherFits ? version.isNewerThan(other.version) : fits;
        }
    }

    private static Finding find(CudaLibrary library, int cudaMajor, List<Place> places) {
        List<String> rejected = new ArrayList<>();
        Candidate best = null;
        String name = library.name(cudaMajor);
        for (Place place : places) {
            if (library == CudaLibrary.DRIVER && place.origin() != Origin.LOADER) {
                continue; // toolkits hold stubs of it, which answer every call with an error
            }
            Path file = place.directory().resolve(name);
            if (!Files.exists(file)) {
                continue;
            }
            List<Path> files = library.names(cudaMajor).stream()
                    .map(place.directory()::resolve)
                    .toList();
            List<String> reasons =
                    files.stream().flatMap(f -> unusable(f).stream()).toList();
            if (!reasons.isEmpty()) {
                rejected.addAll(reasons);
                continue;
            }
            List<Path> all = new ArrayList<>(companions(library, cudaMajor, file));
            all.addAll(files);
            LibraryVersion version = LibraryVersion.of(library, cudaMajor, file);
            Found found = new Found(library, all, place.origin(), version.text(), cudaMajor);
            Candidate candidate = new Candidate(found, version, place.chosen());
            if (best == null || candidate.isBetterThan(best)) {
                best = candidate;
            }
            if (library == CudaLibrary.DRIVER) {
                break; // not the newest, but the one that belongs to the kernel's module
            }
        }
        if (best != null) {
            return best.found;
        }
        // When nothing is right, either version would do.
        List<String> names = MAJORS.stream().map(library::name).distinct().toList();
        return new Missing(library, names, rejected);
    }

    private static List<String> unusable(Path file) {
        if (!Files.exists(file)) {
            return List.of(file + " (not there, but needed)");
        }
        try (FileChannel channel = FileChannel.open(file)) {
            ByteBuffer head = ByteBuffer.allocate(20);
            while (head.hasRemaining() && channel.read(head) >= 0) {
                // a read may return less than asked for
            }
            return ElfFile.isX8664(head.flip()) ? List.of() : List.of(file + " (not a library for 64-bit x86)");
        } catch (IOException e) {
            return List.of(file + " (cannot be read: " + e.getClass().getSimpleName() + ")");
        }
    }

    /** The files that a library opens by name, if the linker would not find them beside it. */
    private static List<Path> companions(CudaLibrary library, int cudaMajor, Path file) {
        List<String> beginnings = library.companions(cudaMajor);
        if (beginnings.isEmpty() || searchesBesideItself(file)) {
            return List.of();
        }
        Path directory = file.getParent();
        return directory == null
                ? List.of()
                : beginnings.stream()
                        // libnvrtc-builtins.so.12.6.85 has a link libnvrtc-builtins.so.12.6: one file, loaded once
                        .flatMap(beginning -> SearchPlaces.list(directory, beginning + "*").stream()
                                .limit(1))
                        .filter(companion -> unusable(companion).isEmpty())
                        .toList();
    }

    private static boolean searchesBesideItself(Path file) {
        try (FileChannel channel = FileChannel.open(file)) {
            return ElfFile.parse(channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size())).names().stream()
                    .anyMatch(name ->
                            name.use() == ElfFile.Use.SEARCH_PATH && name.text().contains("$ORIGIN"));
        } catch (IOException | IllegalArgumentException e) {
            return false; // loading it will say what is wrong
        }
    }
}
