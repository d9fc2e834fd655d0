package io.crescendo.architecture;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.lang.ArchRule;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

// One instance for all tests: reading the class files takes longer than judging them.
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class EngineArchitectureTest {
    private static final String OFFENDERS = "io.crescendo.architecture.offender";

    private final JavaClasses engine = ArchitectureRules.classesOfThisModule();
    private final JavaClasses offenders = new ClassFileImporter().importPackages(OFFENDERS);

    @Test
    void packagesImportOnlyThoseBeforeThem() {
        ArchitectureRules.engineOrder("io.crescendo").check(engine);
        ArchRule rule = ArchitectureRules.engineOrder(OFFENDERS);
        assertCaught(rule, "TooEarly");
        assertCaught(rule, "Unplaced");
    }

    @Test
    void staticsAreConstants() {
        ArchitectureRules.staticsAreConstants().check(engine);
        for (String field : new String[] {"counter", "SHARED_ARRAY", "SEEN", "LAST"}) {
            assertCaught(ArchitectureRules.staticsAreConstants(), "TooEarly." + field);
        }
    }

    @Test
    void nothingPrintsOrLogs() {
        ArchitectureRules.silent().check(engine);
        assertCaught(ArchitectureRules.silent(), "java.lang.System.out");
        assertCaught(ArchitectureRules.silent(), "java.util.logging");
    }

    @Test
    void everyPackageIsExplained() {
        ArchitectureRules.packagesAreExplained().check(engine);
        assertCaught(ArchitectureRules.packagesAreExplained(), "TooEarly");
    }

    @Test
    void nativeLibrariesAreUnknownHere() {
        ArchitectureRules.usedOnlyIn("org.bytedeco", "io.crescendo.cpu").check(engine);
        ArchitectureRules.usedOnlyIn("jcuda", "io.crescendo.cuda").check(engine);
        // The same rule on a library that the offenders do use.
        assertCaught(ArchitectureRules.usedOnlyIn("java.util.logging", OFFENDERS + ".train"), "TooEarly");
    }

    private void assertCaught(ArchRule rule, String culprit) {
        AssertionError error = assertThrows(AssertionError.class, () -> rule.check(offenders));
        assertTrue(String.valueOf(error.getMessage()).contains(culprit), () -> culprit + " is not named in: " + error);
    }
}
