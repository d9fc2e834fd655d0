package io.crescendo.architecture;

import static com.tngtech.archunit.core.domain.JavaModifier.FINAL;
import static com.tngtech.archunit.core.domain.JavaModifier.SYNTHETIC;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.fields;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;

import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.domain.JavaField;
import com.tngtech.archunit.core.domain.JavaModifier;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.lang.ArchCondition;
import com.tngtech.archunit.lang.ArchRule;
import com.tngtech.archunit.lang.CompositeArchRule;
import com.tngtech.archunit.lang.ConditionEvent;
import com.tngtech.archunit.lang.ConditionEvents;
import com.tngtech.archunit.lang.SimpleConditionEvent;
import com.tngtech.archunit.library.GeneralCodingRules;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;

/** Rules that several modules share. */
public final class ArchitectureRules {
    /** The engine's packages; each may import only those before it. */
    static final List<String> ENGINE_ORDER = List.of(
            "schedule",
            "tensor",
            "autograd",
            "memory",
            "backend",
            "reference",
            "nn",
            "optim",
            "data",
            "metrics",
            "safetensors",
            "train");

    private static final List<Class<?>> MUTABLE_HOLDERS = List.of(
            AtomicBoolean.class,
            AtomicInteger.class,
            AtomicLong.class,
            AtomicReference.class,
            ThreadLocal.class,
            Random.class,
            StringBuilder.class);

    private ArchitectureRules() {}

    /** The production classes under test: those in folders, not in jars, of any Crescendo package. */
    public static JavaClasses classesOfThisModule() {
        return new ClassFileImporter()
                .withImportOption(new ImportOption.DoNotIncludeTests())
                .withImportOption(new ImportOption.DoNotIncludeJars())
                .importPackages("io.crescendo");
    }

    /** Each engine package imports only those before it, and no class lies outside the named packages. */
    static ArchRule engineOrder(String rootPackage) {
        List<String> packages = ENGINE_ORDER.stream()
                .map(name -> rootPackage + "." + name + "..")
                .toList();
        List<ArchRule> rules = new ArrayList<>();
        for (int i = 0; i < packages.size() - 1; i++) {
            String[] later = packages.subList(i + 1, packages.size()).toArray(String[]::new);
            rules.add(noClasses()
                    .that()
                    .resideInAPackage(packages.get(i))
                    .should()
                    .dependOnClassesThat()
                    .resideInAnyPackage(later)
                    .because("'" + ENGINE_ORDER.get(i) + "' comes before those in the order " + ENGINE_ORDER)
                    // A package that is not written yet breaks no rule.
                    .allowEmptyShould(true));
        }
        rules.add(classes()
                .should()
                .resideInAnyPackage(packages.toArray(String[]::new))
                .because("every engine package has its place in " + ENGINE_ORDER));
        return CompositeArchRule.of(rules);
    }

    /**
     * Static fields are final and hold nothing that changes. Of a List or a Map only the declared type can be judged.
     */
    public static ArchRule staticsAreConstants() {
        return fields().that()
                .areStatic()
                .and()
                // What javac adds: an enum's $VALUES, a switch's jump table.
                .doNotHaveModifier(SYNTHETIC)
                .should(new ArchCondition<JavaField>("be final and of an unchanging type") {
                    @Override
                    public void check(JavaField field, ConditionEvents events) {
                        if (!field.getModifiers().contains(FINAL)) {
                            events.add(violation(field, "is static but not final"));
                        } else if (isMutable(field.getRawType(), field)) {
                            events.add(violation(field, "is static and can change"));
                        }
                    }
                })
                .because("two trainings in one JVM must not see each other")
                .allowEmptyShould(true);
    }

    private static boolean isMutable(JavaClass type, JavaField field) {
        // A private table of numbers is the one array a class may keep to itself.
        boolean sharedArray = type.isArray() && !field.getModifiers().contains(JavaModifier.PRIVATE);
        boolean collectionImplementation = type.getPackageName().startsWith("java.util")
                && !type.isInterface()
                && (type.isAssignableTo(java.util.Collection.class) || type.isAssignableTo(java.util.Map.class));
        return sharedArray
                || collectionImplementation
                || MUTABLE_HOLDERS.stream().anyMatch(type::isAssignableTo);
    }

    /** No output but through the caller: libraries neither print nor log. */
    public static ArchRule silent() {
        return CompositeArchRule.of(GeneralCodingRules.NO_CLASSES_SHOULD_ACCESS_STANDARD_STREAMS)
                .and(GeneralCodingRules.NO_CLASSES_SHOULD_USE_JAVA_UTIL_LOGGING)
                .allowEmptyShould(true);
    }

    /** Every package has the chapter that explains it. */
    public static ArchRule packagesAreExplained() {
        return classes()
                .should(new ArchCondition<JavaClass>("lie in a package with a package-info.java") {
                    @Override
                    public void check(JavaClass type, ConditionEvents events) {
                        if (type.getPackage().tryGetPackageInfo().isEmpty()) {
                            events.add(violation(type, "lies in a package without package-info.java"));
                        }
                    }
                })
                .allowEmptyShould(true);
    }

    /** Classes whose names start with {@code library} are used only in {@code owner} and below it. */
    public static ArchRule usedOnlyIn(String library, String owner) {
        return noClasses()
                .that()
                .resideOutsideOfPackage(owner + "..")
                .should()
                .dependOnClassesThat()
                .resideInAPackage(library + "..")
                .because("one package knows the library, the rest knows the package")
                .allowEmptyShould(true);
    }

    private static ConditionEvent violation(Object object, String what) {
        String name = object instanceof JavaField field ? field.getFullName() : ((JavaClass) object).getName();
        return SimpleConditionEvent.violated(object, name + " " + what);
    }
}
