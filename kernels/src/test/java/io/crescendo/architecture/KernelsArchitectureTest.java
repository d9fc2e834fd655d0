package io.crescendo.architecture;

import com.tngtech.archunit.core.domain.JavaClasses;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

/** That each of these rules can fail is shown where they are defined, in the engine's tests. */
@NullMarked
// One instance for all tests: reading the class files takes longer than judging them.
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class KernelsArchitectureTest {
    private final JavaClasses kernels = ArchitectureRules.classesOfThisModule();

    @Test
    void oneDnnIsKnownToTheCpuPackageAlone() {
        ArchitectureRules.usedOnlyIn("org.bytedeco", "io.crescendo.cpu").check(kernels);
    }

    @Test
    void jcudaIsKnownToTheCudaPackageAlone() {
        ArchitectureRules.usedOnlyIn("jcuda", "io.crescendo.cuda").check(kernels);
    }

    @Test
    void staticsAreConstants() {
        ArchitectureRules.staticsAreConstants().check(kernels);
    }

    @Test
    void nothingPrintsOrLogs() {
        ArchitectureRules.silent().check(kernels);
    }

    @Test
    void everyPackageIsExplained() {
        ArchitectureRules.packagesAreExplained().check(kernels);
    }
}
