package io.crescendo.architecture;

import com.tngtech.archunit.core.domain.JavaClasses;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

/** That each of these rules can fail is shown where they are defined, in the engine's tests. */
@NullMarked
// One instance for all tests: reading the class files takes longer than judging them.
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class ModelsArchitectureTest {
    private final JavaClasses models = ArchitectureRules.classesOfThisModule();

    @Test
    void staticsAreConstants() {
        ArchitectureRules.staticsAreConstants().check(models);
    }

    @Test
    void nothingPrintsOrLogs() {
        ArchitectureRules.silent().check(models);
    }

    @Test
    void everyPackageIsExplained() {
        ArchitectureRules.packagesAreExplained().check(models);
    }
}
