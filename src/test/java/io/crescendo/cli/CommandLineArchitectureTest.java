package io.crescendo.cli;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.lang.ArchRule;
import org.junit.jupiter.api.Test;

class CommandLineArchitectureTest {
    private final JavaClasses commandLine = new ClassFileImporter().importPackages("io.crescendo.cli");

    @Test
    void namesNoBackendClass() {
        neverUses("io.crescendo.cpu..").check(commandLine);
        neverUses("io.crescendo.cuda..").check(commandLine);
        // The same rule on a package that the command line does use.
        assertThrows(AssertionError.class, () -> neverUses("picocli..").check(commandLine));
    }

    private static ArchRule neverUses(String packages) {
        return noClasses().should().dependOnClassesThat().resideInAPackage(packages);
    }
}
