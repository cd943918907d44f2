"""Names of tables, columns, layers and keys: the only room that spells them out.

Everything that is read from a study folder, stored in an AnnData object or written to a results
folder is named here once, in the module of its subject. Other rooms import the names from here; they
never repeat the strings of a table that they do not own.
"""

from immunoprofile.schema.cells import *
from immunoprofile.schema.clinical import *
from immunoprofile.schema.columns import *
from immunoprofile.schema.eligibility import *
from immunoprofile.schema.flags import *
from immunoprofile.schema.kinds import *
from immunoprofile.schema.models import *
from immunoprofile.schema.output_tables import *
from immunoprofile.schema.statistics import *
from immunoprofile.schema.study_tables import *
from immunoprofile.schema.units import *
from immunoprofile.schema.virology import *
from immunoprofile.schema.visits import *
