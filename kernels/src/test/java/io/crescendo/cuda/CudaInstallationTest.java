package io.crescendo.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.backend.LibraryReport.Entry;
import io.crescendo.cuda.Finding.Found;
import io.crescendo.cuda.SearchPlaces.Origin;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.ServiceLoader;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The search, on machines that do not exist. */
@NullMarked
class CudaInstallationTest {
    @TempDir
    private Path root = Path.of("");

    @Test
    void aMachineWithoutAnythingIsToldWhatWasSearchedAndHowToGetIt() throws IOException {
        Path system = Files.createDirectories(root.resolve("usr/lib/x86_64-linux-gnu"));
        CudaInstallation installation = search(Map.of());
        assertFalse(installation.usable());
        assertEquals(4, installation.missing().size());
        String text = installation.explain();
        assertContains(text, "driver: not found: libcuda.so.1", "NVRTC: not found: libnvrtc.so.12 or libnvrtc.so.13");
        assertContains(
                text,
                "cuDNN: not found: libcudnn.so.9",
                "loader path: " + system,
                "no directory that is not listed already");
        assertContains(text, "install NVIDIA's driver", "pip install nvidia-cuda-nvrtc-cu12");
        assertContains(
                text, root.resolve("home/.cache/crescendo/cuda/redist/12.6").toString());
        assertContains(
                String.valueOf(assertThrows(CudaLibraryException.class, () -> CudaLibraryLoader.load(installation))
                        .getMessage()),
                text);
    }

    @Test
    void aToolkitIsFoundThroughTheLoadersConfiguration() throws IOException {
        Files.createDirectories(root.resolve("etc/ld.so.conf.d"));
        Files.writeString(root.resolve("etc/ld.so.conf"), "# comment\ninclude /etc/ld.so.conf.d/*.conf\n");
        Files.writeString(root.resolve("etc/ld.so.conf.d/cuda.conf"), "/opt/cuda/lib # here\n");
        driver("550.54.15");
        toolkit("opt/cuda/lib", "libcublasLt.so.12", "libcublas.so.12", "libnvrtc.so.12", "libcudnn.so.9");
        CudaInstallation installation = search(Map.of());
        assertTrue(installation.usable(), installation.explain());
        assertEquals(12, installation.cudaMajor());
        for (Found found : installation.found()) {
            assertEquals(Origin.LOADER, found.origin());
            assertFalse(found.relinked());
        }
        assertEquals("550.54.15", found(installation, CudaLibrary.DRIVER).version());
        assertEquals(
                List.of(root.resolve("opt/cuda/lib/libcublasLt.so.12"), root.resolve("opt/cuda/lib/libcublas.so.12")),
                found(installation, CudaLibrary.CUBLAS).files(),
                "cuBLASLt is loaded first");
    }

    @Test
    void versionsComeFromTheNamesBehindLinksOrThePackages() throws IOException {
        driver("570.1");
        Path toolkit = toolkit("usr/local/cuda-12.6/lib64", "libnvrtc.so.12.6.85");
        Files.createSymbolicLink(toolkit.resolve("libnvrtc.so.12"), Path.of("libnvrtc.so.12.6.85"));
        String packages = "venv/lib/python3.11/site-packages/";
        toolkit(packages + "nvidia/cublas/lib", "libcublasLt.so.12", "libcublas.so.12");
        toolkit(packages + "nvidia/cudnn/lib", "libcudnn.so.9");
        Files.createDirectory(root.resolve(packages + "nvidia_cublas_cu12-12.4.5.8.dist-info"));
        Files.createDirectory(root.resolve(packages + "nvidia_cudnn_cu12-9.1.0.70.dist-info"));
        CudaInstallation installation =
                search(Map.of("VIRTUAL_ENV", root.resolve("venv").toString()));
        assertTrue(installation.usable(), installation.explain());
        assertEquals("12.6.85", found(installation, CudaLibrary.NVRTC).version());
        assertEquals("12.4.5.8", found(installation, CudaLibrary.CUBLAS).version());
        assertEquals("9.1.0.70", found(installation, CudaLibrary.CUDNN).version());
        assertEquals(Origin.PYTHON, found(installation, CudaLibrary.CUDNN).origin());
    }

    @Test
    void pythonsOnThePathAreFoundThroughLinksAndShims() throws IOException {
        driver("570.1");
        Path python = toolkit("opt/python/bin", "python3").resolve("python3");
        assertTrue(python.toFile().setExecutable(true));
        Path bin = Files.createDirectories(root.resolve("bin"));
        Files.createSymbolicLink(bin.resolve("python3"), python);
        toolkit("opt/python/lib/python3.12/site-packages/nvidia/cu13/lib", "libnvrtc.so.13", "libcublas.so.13");
        toolkit("opt/python/lib/python3.12/site-packages/nvidia/cu13/lib", "libcublasLt.so.13");
        Path shims = Files.createDirectories(root.resolve("pyenv/shims"));
        toolkit("pyenv/versions/3.9.18/lib/python3.9/site-packages/nvidia/cudnn/lib", "libcudnn.so.9");
        // The release is not in the name of the file, so nothing is said against this driver.
        Files.delete(root.resolve("usr/lib/x86_64-linux-gnu/libcuda.so.1"));
        toolkit("usr/lib/x86_64-linux-gnu", "libcuda.so.1");
        CudaInstallation installation = search(Map.of("PATH", "relative:" + bin + ":" + shims));
        assertTrue(installation.usable(), installation.explain());
        assertEquals(13, installation.cudaMajor());
        assertTrue(found(installation, CudaLibrary.NVRTC).relinked());
        assertTrue(found(installation, CudaLibrary.CUBLAS).relinked());
        assertFalse(found(installation, CudaLibrary.CUDNN).relinked());
        assertContains(installation.explain(), "libJNvrtc relinked from libnvrtc.so.12");
    }

    @Test
    void aVirtualEnvironmentInTheMiddleOfAChainOfLinksIsNotPassedOver() throws IOException {
        driver("580.1");
        Path real = toolkit("opt/python/bin", "python3.12").resolve("python3.12");
        assertTrue(real.toFile().setExecutable(true));
        Path venv = Files.createDirectories(root.resolve("opt/torch/venv/bin"));
        Files.createSymbolicLink(venv.resolve("python"), real);
        Files.createSymbolicLink(venv.resolve("python3"), Path.of("python"));
        Path chosen = Files.createDirectories(root.resolve("etc/alternatives"));
        Files.createSymbolicLink(chosen.resolve("python3"), venv.resolve("python3"));
        // bin is a link as well: the relative target counts from where bin leads to.
        Path there = Files.createDirectories(root.resolve("usr/bin"));
        Files.createSymbolicLink(there.resolve("python3"), Path.of("../../etc/alternatives/python3"));
        Path bin = Files.createSymbolicLink(root.resolve("bin"), Path.of("usr/bin"));
        String packages = "opt/torch/venv/lib/python3.12/site-packages/nvidia/";
        toolkit(packages + "cu13/lib", "libnvrtc.so.13", "libcublas.so.13", "libcublasLt.so.13");
        toolkit(packages + "cudnn/lib", "libcudnn.so.9");
        CudaInstallation installation = search(Map.of("PATH", bin.toString()));
        assertTrue(installation.usable(), installation.explain());
        assertEquals(Origin.PYTHON, found(installation, CudaLibrary.CUDNN).origin());
    }

    @Test
    void cuda12ComesFirstAndANewerToolkitIsTakenWhenOnlyItIsComplete() throws IOException {
        driver("580.65");
        toolkit("usr/local/cuda-13.0/lib64", "libcublasLt.so.13", "libcublas.so.13", "libnvrtc.so.13", "libcudnn.so.9");
        Path older = toolkit("usr/local/cuda-12.4/lib64", "libcublasLt.so.12", "libcublas.so.12");
        assertEquals(13, search(Map.of()).cudaMajor());
        toolkit("usr/local/cuda-12.4/lib64", "libnvrtc.so.12");
        CudaInstallation both = search(Map.of());
        assertEquals(12, both.cudaMajor());
        assertEquals(
                older.resolve("libnvrtc.so.12"), found(both, CudaLibrary.NVRTC).file());
    }

    @Test
    void aDriverTooOldForCuda13IsNamed() throws IOException {
        driver("550.54.15");
        Path home = root.resolve("home13");
        toolkit("home13/lib64", "libcublasLt.so.13", "libcublas.so.13", "libnvrtc.so.13", "libcudnn.so.9");
        CudaInstallation installation = search(Map.of("CUDA_HOME", home.toString()));
        assertEquals(13, installation.cudaMajor(), "misses least");
        assertFalse(installation.usable());
        assertContains(installation.explain(), "the driver is release 550, CUDA 13 needs 580 or newer");
    }

    @Test
    void whatIsThereButCannotBeUsedIsPassedOverWithTheReason() throws IOException {
        Path narrow = toolkit("usr/lib", "libcuda.so.1");
        Files.write(narrow.resolve("libcuda.so.1"), new byte[] {0x7f, 'E', 'L', 'F', 1, 1, 1, 0});
        Path alone = toolkit("usr/local/cuda/lib64", "libcublas.so.12");
        toolkit("usr/local/cuda/lib64", "libcuda.so.1"); // a stub's place: never the driver
        String text = search(Map.of()).explain();
        assertContains(text, narrow.resolve("libcuda.so.1") + " (not a library for 64-bit x86)");
        assertContains(text, alone.resolve("libcublasLt.so.12") + " (not there, but needed)");
    }

    @Test
    void theNewestOfSeveralIsTakenWhereverItLies() throws IOException {
        driver("580.1");
        String system = "usr/lib/x86_64-linux-gnu";
        linked(system, "libcudnn.so.9", "libcudnn.so.9.14.0");
        linked(system, "libnvrtc.so.13", "libnvrtc.so.13.0.88");
        linked(system, "libcublas.so.13", "libcublas.so.13.2.0.9");
        toolkit(system, "libcublasLt.so.13");
        String packages = "venv/lib/python3.12/site-packages/";
        Path cudnn = toolkit(packages + "nvidia/cudnn/lib", "libcudnn.so.9", "libcudnn_graph.so.9");
        Path toolkit = toolkit(packages + "nvidia/cu13/lib", "libcublasLt.so.13", "libcublas.so.13", "libnvrtc.so.13");
        for (String distribution :
                List.of("nvidia_cudnn_cu13-9.19.0.56", "nvidia_cublas-13.1.0.3", "nvidia_cuda_nvrtc-13.0.90")) {
            Files.createDirectory(root.resolve(packages + distribution + ".dist-info"));
        }
        CudaInstallation both =
                search(Map.of("VIRTUAL_ENV", root.resolve("venv").toString()));
        assertEquals(13, both.cudaMajor());
        Found newest = found(both, CudaLibrary.CUDNN);
        assertEquals(
                List.of(cudnn.resolve("libcudnn_graph.so.9"), cudnn.resolve("libcudnn.so.9")),
                newest.files(),
                "its parts from the same directory");
        assertEquals("9.19.0.56", newest.version());
        assertContains(both.explain(), "cuDNN: 9.19.0.56, " + newest.file() + " (" + Origin.PYTHON.title() + ")");
        assertEquals(
                toolkit.resolve("libnvrtc.so.13"),
                found(both, CudaLibrary.NVRTC).file());
        assertEquals("13.2.0.9", found(both, CudaLibrary.CUBLAS).version());
        assertEquals(Origin.LOADER, found(both, CudaLibrary.CUBLAS).origin());
    }

    @Test
    void whatTheUserHasChosenComesBeforeWhatIsNewer() throws IOException {
        linked("opt/old/lib64", "libcudnn.so.9", "libcudnn.so.9.5.1");
        linked("usr/lib64", "libcudnn.so.9", "libcudnn.so.9.14.0");
        linked("usr/local/cuda/lib64", "libcudnn.so.9", "libcudnn.so.9.19.0");
        assertEquals("9.19.0", cudnn(Map.of()));
        for (String variable : List.of("CUDA_HOME", "CUDA_PATH")) {
            assertEquals("9.5.1", cudnn(Map.of(variable, root.resolve("opt/old").toString())));
        }
        String path = root.resolve("opt/old/lib64").toString();
        assertEquals("9.5.1", cudnn(Map.of("LD_LIBRARY_PATH", path)));
        assertEquals("9.14.0", cudnn(Map.of("LD_LIBRARY_PATH", root.resolve("usr/lib64") + ":" + path)));
        // Found on the loader's path already, and chosen nevertheless.
        Files.createDirectories(root.resolve("etc"));
        Files.writeString(root.resolve("etc/ld.so.conf"), "/opt/old/lib64\n");
        assertEquals("9.19.0", cudnn(Map.of()));
        assertEquals("9.5.1", cudnn(Map.of("CUDA_HOME", root.resolve("opt/old").toString())));
    }

    @Test
    void theOrderDecidesWhereNothingTellsTheVersionAndABuildForThisCudaComesFirst() throws IOException {
        driver("580.1");
        Path first = toolkit("usr/lib64", "libcudnn.so.9");
        toolkit("usr/local/cuda/lib64", "libcublasLt.so.12", "libcublas.so.12", "libnvrtc.so.12", "libcudnn.so.9");
        assertEquals(
                first.resolve("libcudnn.so.9"),
                found(search(Map.of()), CudaLibrary.CUDNN).file());
        Path include = Files.createDirectories(root.resolve("usr/include"));
        Files.writeString(include.resolve("cudnn_version.h"), """
                #define CUDNN_MAJOR 9
                #define CUDNN_MINOR 8
                #define CUDNN_PATCHLEVEL 1
                #define CUDNN_VERSION (CUDNN_MAJOR * 10000 + CUDNN_MINOR * 100 + CUDNN_PATCHLEVEL)
                """);
        assertEquals("9.8.1", cudnn(Map.of()));
        String packages = "venv/lib/python3.12/site-packages/";
        toolkit(packages + "nvidia/cudnn/lib", "libcudnn.so.9");
        Path distribution = Files.createDirectory(root.resolve(packages + "nvidia_cudnn_cu13-9.19.0.56.dist-info"));
        Map<String, String> venv = Map.of("VIRTUAL_ENV", root.resolve("venv").toString());
        assertEquals(12, search(venv).cudaMajor());
        assertEquals("9.8.1", cudnn(venv), "the newer one wants CUDA 13");
        Files.move(distribution, root.resolve(packages + "nvidia_cudnn_cu12-9.19.0.56.dist-info"));
        assertEquals("9.19.0.56", cudnn(venv));
    }

    @Test
    void aToolkitThatIsNotThereIsNamed() {
        assertTrue(search(Map.of()).explain().contains("CUDA_HOME, CUDA_PATH: not set"));
        Path nowhere = root.resolve("opt/nope");
        String told = search(Map.of("CUDA_HOME", nowhere.toString())).explain();
        assertTrue(told.contains("CUDA_HOME, CUDA_PATH: not there: " + nowhere), told);
        assertTrue(told.contains("\n  the others: pip install"), told);
    }

    private String cudnn(Map<String, String> environment) {
        return found(search(environment), CudaLibrary.CUDNN).version();
    }

    /** A file that looks like a library, and a link to it. */
    private void linked(String directory, String link, String name) throws IOException {
        Files.createSymbolicLink(toolkit(directory, name).resolve(link), Path.of(name));
    }

    @Test
    void filesThatALibraryOpensByNameAreLoadedBeforeIt() throws IOException {
        Path toolkit = toolkit("usr/local/cuda/lib64", "libnvrtc.so.12", "libnvrtc-builtins.so.12.6");
        Found nvrtc = found(search(Map.of()), CudaLibrary.NVRTC);
        assertEquals(
                List.of(toolkit.resolve("libnvrtc-builtins.so.12.6"), toolkit.resolve("libnvrtc.so.12")),
                nvrtc.files());
        assertEquals("12.6", nvrtc.version());
    }

    @Test
    void theUnpackedRedistributableIsFoundWhereTheRemedyPutsIt() throws IOException {
        Path cache = root.resolve("xdg");
        toolkit("xdg/crescendo/cuda/redist/12.6/org/bytedeco/cuda/linux-x86_64", "libcudnn.so.9");
        assertEquals(
                Origin.CACHE,
                found(search(Map.of("XDG_CACHE_HOME", cache.toString())), CudaLibrary.CUDNN)
                        .origin());
    }

    @Test
    void anotherPlatformIsNamed() throws IOException {
        driver("570.1");
        toolkit("usr/lib64", "libcublasLt.so.12", "libcublas.so.12", "libnvrtc.so.12", "libcudnn.so.9");
        CudaInstallation installation =
                CudaInstallation.search(new Machine(root, Map.of(), root.resolve("home"), "Linux aarch64"));
        assertFalse(installation.usable());
        assertContains(installation.explain(), "this machine is 'Linux aarch64'");
    }

    @Test
    void thisMachineCanBeSearchedAndEveryLibraryHasItsLine() {
        CudaLibraryReport report = ServiceLoader.load(io.crescendo.backend.LibraryReport.class).stream()
                .map(ServiceLoader.Provider::get)
                .filter(CudaLibraryReport.class::isInstance)
                .map(CudaLibraryReport.class::cast)
                .findFirst()
                .orElseThrow();
        List<String> names = report.entries().stream().map(Entry::name).toList();
        assertEquals(List.of("driver", "NVRTC", "cuBLAS", "cuDNN"), names.subList(0, 4));
    }

    private CudaInstallation search(Map<String, String> environment) {
        return CudaInstallation.search(new Machine(root, environment, root.resolve("home"), Machine.SUPPORTED));
    }

    private static Found found(CudaInstallation installation, CudaLibrary library) {
        return installation.found().stream()
                .filter(found -> found.library() == library)
                .findFirst()
                .orElseThrow(() -> new AssertionError(installation.explain()));
    }

    private void driver(String release) throws IOException {
        Path directory = toolkit("usr/lib/x86_64-linux-gnu", "libcuda.so." + release);
        Files.createSymbolicLink(directory.resolve("libcuda.so.1"), Path.of("libcuda.so." + release));
    }

    /** A directory with files that look like libraries as far as the search looks. */
    private Path toolkit(String directory, String... names) throws IOException {
        Path made = Files.createDirectories(root.resolve(directory));
        byte[] head = ByteBuffer.allocate(64)
                .order(ByteOrder.LITTLE_ENDIAN)
                .put(new byte[] {0x7f, 'E', 'L', 'F', 2, 1, 1})
                .putShort(18, (short) 62)
                .array();
        for (String name : names) {
            Files.write(made.resolve(name), head);
        }
        return made;
    }

    private static void assertContains(String text, String... parts) {
        for (String part : parts) {
            assertTrue(text.contains(part), () -> "'" + part + "' is not in: " + text);
        }
    }
}
